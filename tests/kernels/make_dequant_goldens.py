#!/usr/bin/env python3
"""Writes dequant_goldens.h: random blocks of every quantised type and what the `gguf` Python
package (gguf.quants.dequantize) makes of them. Needs gguf and numpy; run from any folder:

    python3 tests/kernels/make_dequant_goldens.py
"""

import pathlib

import gguf
import numpy as np

# Type, bytes of a block, blocks to write, where the halves of a block lie.
TYPES = [
    ("Q4_0", 18, 4, [0]),
    ("Q4_1", 20, 4, [0, 2]),
    ("Q5_0", 22, 4, [0]),
    ("Q5_1", 24, 4, [0, 2]),
    ("Q8_0", 34, 4, [0]),
    ("Q4_K", 144, 2, [0, 2]),
    ("Q5_K", 176, 2, [0, 2]),
    ("Q6_K", 210, 2, [208]),
    ("F16", 2, 64, [0]),
    ("BF16", 2, 64, []),
]

HEADER = """\
/// Random blocks of every type and their values as fp32 bit patterns. Written by
/// make_dequant_goldens.py from the Python package gguf {version}; do not edit.
#pragma once

#include <cstdint>

#include "engine/core/dtype.h"

namespace hc::test {{

struct DequantGolden {{
    DType type;
    const std::uint8_t* blocks;
    std::size_t num_bytes;
    const std::uint32_t* values;
    std::size_t num_values;
}};

"""


def array(kind, name, values, text):
    lines = []
    for at in range(0, len(values), 16):
        lines.append("    " + ", ".join(text(v) for v in values[at : at + 16]) + ",")
    return f"inline constexpr {kind} {name}[] = {{\n" + "\n".join(lines) + "\n};\n"


def main():
    random = np.random.default_rng(20)
    version = "of unknown version"
    try:
        from importlib.metadata import version as version_of

        version = version_of("gguf")
    except ImportError:
        pass
    out = HEADER.format(version=version)
    rows = []
    for name, size, blocks, halves in TYPES:
        data = random.integers(0, 256, (blocks, size), dtype=np.uint8)
        for at in halves:
            scale = random.normal(0, 0.02, blocks).astype(np.float16)
            data[:, at : at + 2] = scale.view(np.uint8).reshape(blocks, 2)
        if name == "BF16":
            data[:, 1] = (data[:, 1] & 0x80) | 0x3E  # usual exponents, either sign
        kind = getattr(gguf.GGMLQuantizationType, name)
        if name == "F16":
            values = data.view(np.float16).astype(np.float32)
        else:
            values = gguf.quants.dequantize(data, kind)
        flat = np.ascontiguousarray(values, dtype=np.float32).reshape(-1).view(np.uint32)
        out += array("std::uint8_t", f"k{name}Blocks", data.reshape(-1), lambda v: str(int(v)))
        out += array("std::uint32_t", f"k{name}Values", flat, lambda v: f"0x{int(v):08x}")
        rows.append(
            f"    {{DType::k{name}, k{name}Blocks, {data.size}, k{name}Values, {flat.size}}},"
        )
    out += "\ninline constexpr DequantGolden kDequantGoldens[] = {\n" + "\n".join(rows) + "\n};\n"
    out += "\n}  // namespace hc::test\n"
    out = out.replace("#include <cstdint>", "#include <cstddef>\n#include <cstdint>")
    pathlib.Path(__file__).with_name("dequant_goldens.h").write_text(out)


if __name__ == "__main__":
    main()
