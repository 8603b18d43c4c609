"""Another chat template in a GGUF file, for models whose own one knows no tools."""

import shutil
import struct

KEY = b"tokenizer.chat_template"
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
STRING, ARRAY = 8, 9


class Header:
    def __init__(self, data):
        self.data, self.at = data, 0

    def number(self, form):
        value, = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize(form)
        return value

    def text(self):
        size = self.number("Q")
        self.at += size
        return self.data[self.at - size:self.at]

    def skip(self, kind):
        if kind == STRING:
            self.text()
        elif kind == ARRAY:
            kind, count = self.number("I"), self.number("Q")
            if kind in SIZES:
                self.at += SIZES[kind] * count
            else:
                for _ in range(count):
                    self.skip(kind)
        else:
            self.at += SIZES[kind]


def replace(source, target, template):
    """Copies `source` to `target` with this template; both have the usual alignment of 32."""
    with open(source, "rb") as file:
        data = file.read(32 << 20)
    header = Header(data)
    header.at = 8
    tensors, keys = header.number("Q"), header.number("Q")
    new = b""
    for _ in range(keys):
        begin = header.at
        name, kind = header.text(), header.number("I")
        value = header.at
        header.skip(kind)
        if name == KEY:
            text = template.encode()
            new += data[begin:value] + struct.pack("<Q", len(text)) + text
        else:
            new += data[begin:header.at]
    begin = header.at
    for _ in range(tensors):
        header.text()
        dimensions = header.number("I")
        header.at += 8 * dimensions + 4 + 8
    new = data[:24] + new + data[begin:header.at]
    weights = header.at + -header.at % 32  # Where the old ones begin.
    with open(source, "rb") as old, open(target, "wb") as file:
        file.write(new + b"\0" * (-len(new) % 32))
        old.seek(weights)
        shutil.copyfileobj(old, file, 1 << 20)
