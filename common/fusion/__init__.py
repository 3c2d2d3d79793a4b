"""Fusions: operators that join two inputs into one, all called the same way.

    operator = Block(features=1024, width=3200, chunks=100, rank=None)
    variables = operator.init(key, x, y)
    z = operator.apply(variables, x, y)  # [..., 1024]
    z = operator.apply(variables, x, y, train=True, rngs={"dropout": key})

The call is documented in `common.fusion.operator.Fusion`.
"""

from common.fusion.block import Block
from common.fusion.concatenation import Concatenation, ConcatenationMLP
from common.fusion.linear_sum import Addition, LinearSum
from common.fusion.mcb import MCB
from common.fusion.mfb import MFB
from common.fusion.mfh import MFH
from common.fusion.mlb import MLB
from common.fusion.mutan import Mutan
from common.fusion.operator import Fusion
from common.fusion.product import Product
from common.fusion.tucker import Tucker

__all__ = [
    "MCB",
    "MFB",
    "MFH",
    "MLB",
    "Addition",
    "Block",
    "Concatenation",
    "ConcatenationMLP",
    "Fusion",
    "LinearSum",
    "Mutan",
    "Product",
    "Tucker",
]
