"""Tables of numbers as the host program reads them."""

from __future__ import annotations

import numpy as np


def csv_text(rows: np.ndarray) -> str:
    """Rows of float32 as lines; nine digits hold each of them exactly.

    Example:
        >>> import numpy as np
        >>> csv_text(np.array([[0.5, -1.0], [0.1, 3.0]], np.float32))
        '0.5,-1\\n0.100000001,3\\n'
    """
    line = ",".join(["%.9g"] * rows.shape[1]) + "\n"
    return "".join(line % tuple(row) for row in np.asarray(rows, np.float32).tolist())
