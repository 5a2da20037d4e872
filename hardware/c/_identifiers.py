"""Names of layers as C identifiers and file names."""

from __future__ import annotations

import re
from collections.abc import Iterable

_KEYWORDS = """
auto break case char const continue default do double else enum extern float for goto if inline int
long register restrict return short signed sizeof static struct switch typedef union unsigned void
volatile while _Bool _Complex _Imaginary
"""
_CXX = """
alignas alignof and asm bool catch char16_t char32_t class constexpr const_cast decltype delete
dynamic_cast explicit export false friend mutable namespace new noexcept not nullptr operator or
private protected public reinterpret_cast static_assert static_cast template this thread_local throw
true try typeid typename using virtual wchar_t xor
"""
KEYWORDS = frozenset(_KEYWORDS.split() + _CXX.split()) | {
    "main",
    "reset",
    "input",
    "output",
    "input_t",
    "output_t",
}
"""Keywords of C99 and C++, and what the generated code calls otherwise."""

_MATH = """
acos acosh asin asinh atan atan2 atanh cabs cacos carg casin catan cbrt ccos ceil cexp cimag clog
conj copysign cos cosh cpow creal csin csqrt ctan erf erfc exp exp2 expm1 fabs fdim floor fma fmax
fmin fmod frexp hypot ilogb ldexp lgamma llrint llround log log10 log1p log2 logb lrint lround modf
nan nearbyint nextafter pow remainder remquo rint round scalbln scalbn sin sinh sqrt tan tanh tgamma
trunc
"""
_LIBRARY = """
abort abs asctime assert atexit atof atoi atol atoll bsearch calloc clearerr clock close ctime
difftime div errno exit fclose feof ferror fflush fgetc fgetpos fgets fileno fopen fork fpclassify
fprintf fputc fputs fread free freopen frexp fscanf fseek fsetpos ftell fwrite gamma getc getchar
getenv gets gmtime imaxabs index isalnum isalpha isblank iscntrl isdigit isfinite isgraph isinf
islower isnan isnormal isprint ispunct isspace isupper isxdigit j0 j1 jn kill labs ldiv link llabs
lldiv localeconv localtime longjmp malloc mblen mbstowcs mbtowc memchr memcmp memcpy memmove memset
mktime offsetof open perror pipe printf putc putchar puts qsort raise rand read realloc remove
rename rewind rindex scanf select setbuf setjmp setlocale setvbuf signal signbit sleep snprintf
sprintf srand sscanf stat stderr stdin stdout strcat strchr strcmp strcoll strcpy strcspn strerror
strftime strlen strncat strncmp strncpy strpbrk strrchr strspn strstr strtod strtof strtok strtol
strtold strtoll strtoul strtoull strxfrm system time tmpfile tmpnam tolower toupper ungetc unlink
vfprintf vfscanf vprintf vscanf vsnprintf vsprintf vsscanf wait wcstombs wctomb write y0 y1 yn
EOF I NULL complex i386 linux unix
"""
LIBRARY = frozenset(_LIBRARY.split()) | {
    name + suffix for name in _MATH.split() for suffix in ("", "f", "l")
}
"""What C's library, and the systems below it, call a function or a macro."""

SUFFIXES = ("", "_kernel", "_bias", "_v", "_threshold", "_rtau", "_v_reset", "_start", "_index")
"""What the generated code appends to the name of a layer; with `_output_type`, which no layer's
name can end in."""

LENGTH = 48  # C99 tells 63 characters of a name apart; room for the prefix and a suffix


def is_identifier(name: object) -> bool:
    """Whether a text is a legal name of a C function, and none that is taken already: by the
    generated code, by C++ or by the C library."""
    return (
        isinstance(name, str)
        and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is not None
        and not name.startswith(("_", "nj", "NEUROJAX_", "neurojax_", "MODEL_", "ROUND_MODE_"))
        and name not in KEYWORDS | LIBRARY
        and re.fullmatch(r"u?int\w*_t|\w*(size|ptrdiff|max_align)_t|U?INT\w*", name) is None
        and len(name) <= LENGTH
    )


def identifiers(names: Iterable[str]) -> dict[str, str]:
    """What to call each layer in C, behind the prefix that all names of a model have.

    Files are named like the layers, and some file systems don't tell capitals apart.

    Example:
        >>> identifiers(["conv.1", "conv_1", "FC", "fc", "reset"])
        {'conv.1': 'conv_1', 'conv_1': 'conv_1_2', 'FC': 'FC', 'fc': 'fc_2', 'reset': 'reset_2'}
    """
    taken = {"reset", "started"}
    result = {}
    for name in names:
        stem = re.sub(r"[^A-Za-z0-9]+", "_", name)[:LENGTH].strip("_")
        stem = stem.removesuffix("_output_type") or "layer"
        candidate, number = stem, 1
        while re.fullmatch(r"(?i)buffer\d+", candidate) or any(
            (candidate + suffix).casefold() in taken for suffix in SUFFIXES
        ):
            number += 1
            candidate = f"{stem}_{number}"
        taken |= {(candidate + suffix).casefold() for suffix in SUFFIXES}
        result[name] = candidate
    return result
