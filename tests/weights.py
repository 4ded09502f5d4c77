"""Files of weights for a test."""

import json


def safetensors_file(content: bytes) -> bytes:
    """A file in the format of safetensors, of one tensor with these bytes."""
    size = len(content)
    header = json.dumps({"tensor": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    return len(header).to_bytes(8, "little") + header + content
