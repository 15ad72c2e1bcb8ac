"""Names of the matrices that a film can say it has."""

from __future__ import annotations

H273_MATRICES: dict[int, str] = {
    1: "bt709",
    4: "fcc",
    5: "bt601",
    6: "bt601",
    7: "smpte240m",
    8: "ycgco",
    9: "bt2020",
    10: "bt2020cl",
}
"""Names by code point of matrix coefficients: ITU-T H.273, table 4. See `h273_matrix` for 12."""
