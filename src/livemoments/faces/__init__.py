"""The clip's faces: found, followed, recognised, cut out upright and pasted back.

Nothing here needs PyTorch; dlib and its models are the extra livemoments[faces].
"""
