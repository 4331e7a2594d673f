"""The reference by which compiled globs are judged."""

from functools import cache


def naive_match(pattern: bytes, value: bytes) -> bool:
    """The textbook recursion, by which the compiled form is judged."""

    @cache
    def rest(at: int, of: int) -> bool:
        if at == len(pattern):
            return of == len(value)
        if pattern[at] == ord("*"):
            return rest(at + 1, of) or (of < len(value) and rest(at, of + 1))
        return of < len(value) and pattern[at] in (ord("?"), value[of]) and rest(at + 1, of + 1)

    return rest(0, 0)
