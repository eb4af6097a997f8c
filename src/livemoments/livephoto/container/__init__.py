"""Walk and edit files without decoding pictures: JPEG, HEIC, boxes of MOV and MP4."""
