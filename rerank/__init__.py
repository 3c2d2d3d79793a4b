"""rerank: the order of a search result from text, images and context.

After "Advancing Re-Ranking with Multimodal Fusion and Target-Oriented Auxiliary Tasks in
E-Commerce Search" (ARMMT).
"""
