"""Find a clip's faces, follow and recognise them, cut them out upright, and paste them back.

Nothing here needs PyTorch; dlib and its models are the extra livemoments[faces].
"""
