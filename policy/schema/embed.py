# SPDX-License-Identifier: LGPL-2.1-or-later
"""Turns a file into a C array, so that no schema has to be found at run time: embed.py FILE SYMBOL."""
import sys

path, symbol = sys.argv[1:]
with open(path, "rb") as source:
    data = source.read()
print("/* Made from %s by embed.py. */" % path.rsplit("/", 1)[-1])
print('#include "policy/corral-xml.h"\n')
print("const char %s[] = {" % symbol)
for at in range(0, len(data), 16):
    print("    " + " ".join("%d," % byte for byte in data[at:at + 16]))
print("};\nconst gsize %s_length = sizeof %s;" % (symbol, symbol))
