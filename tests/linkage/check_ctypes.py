"""The shared library by ctypes, which is to say as plain C: check_ctypes.py LIBRARY LAYOUT_PROGRAM.

The tokens are those of select.h; what LAYOUT_PROGRAM (layout.c) prints of them and of the structs
has to be the same here. MIT licence."""
import array
import ctypes
import subprocess
import sys

N_TOKENS, DIM, BUDGET = 300, 40, 24
AUTO, F32, ERROR_RESERVED, ERROR_TOKENS_NOT_FINITE = 0, 0, -111, -116


class Threads(ctypes.Structure):
    _fields_ = [("n_workers", ctypes.c_size_t), ("run", ctypes.c_void_p),
                ("user", ctypes.c_void_p)]


class Config(ctypes.Structure):
    _fields_ = [("preset", ctypes.c_int), ("budget", ctypes.c_size_t),
                ("reserved", ctypes.c_size_t), ("n_groups", ctypes.c_size_t),
                ("svd", ctypes.c_int), ("threads", Threads), ("clock_ns", ctypes.c_void_p)]


class Input(ctypes.Structure):
    _fields_ = [("tokens", ctypes.c_void_p), ("dtype", ctypes.c_int),
                ("n_tokens", ctypes.c_size_t), ("dim", ctypes.c_size_t), ("ld", ctypes.c_size_t),
                ("first", ctypes.c_size_t), ("scores", ctypes.c_void_p),
                ("loadings", ctypes.c_void_p), ("ld_loadings", ctypes.c_size_t),
                ("protected_tokens", ctypes.c_void_p), ("n_protected", ctypes.c_size_t)]


def layout(name, struct):
    for field, kind in struct._fields_:
        offset = getattr(struct, field).offset
        if kind is Threads:
            for inner, _ in Threads._fields_:
                yield f"{name} {field}.{inner} {offset + getattr(Threads, inner).offset}"
        else:
            yield f"{name} {field} {offset}"
    yield f"{name} sizeof {ctypes.sizeof(struct)}"


def main():
    path, program = sys.argv[1:]
    library = ctypes.CDLL(path)
    library.prunesid_config_init.argtypes = ctypes.c_int, ctypes.c_size_t
    library.prunesid_config_init.restype = Config
    library.prunesid_input_init.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t,
                                            ctypes.c_size_t)
    library.prunesid_input_init.restype = Input
    library.prunesid_n_kept.argtypes = ctypes.POINTER(Config), ctypes.c_size_t
    library.prunesid_n_kept.restype = ctypes.c_size_t
    library.prunesid_select_alloc.argtypes = (ctypes.POINTER(Config), ctypes.POINTER(Input),
                                              ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p,
                                              ctypes.c_void_p)
    library.prunesid_status_string.restype = ctypes.c_char_p

    tokens, state = array.array("f"), 1
    for _ in range(N_TOKENS * DIM):
        state = (state * 1664525 + 1013904223) % 2**32
        tokens.append((state >> 8) / 8388608 - 1)
    config = library.prunesid_config_init(AUTO, BUDGET)
    given = library.prunesid_input_init(tokens.buffer_info()[0], F32, N_TOKENS, DIM)
    kept = (ctypes.c_int32 * BUDGET)()

    def select():
        return library.prunesid_select_alloc(config, given, kept, BUDGET, None, None)

    assert config.budget == library.prunesid_n_kept(config, N_TOKENS) == BUDGET
    assert (given.ld, config.threads.n_workers) == (DIM, 1)
    assert select() == 0
    here = [*layout("prunesid_config", Config), *layout("prunesid_input", Input),
            f"version {library.prunesid_version()}", *(f"kept {i}" for i in kept)]
    in_c = subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines()
    for one, other in zip(here, in_c):
        assert one == other, f"here {one}, in C {other}"
    assert len(here) == len(in_c) and list(kept) == sorted(set(kept))

    before = list(kept)
    config.reserved = BUDGET
    assert select() == ERROR_RESERVED
    config.reserved = 0
    tokens[5 * DIM + 3] = float("nan")
    assert select() == ERROR_TOKENS_NOT_FINITE and list(kept) == before
    assert library.prunesid_status_string(ERROR_TOKENS_NOT_FINITE) == b"a token is not finite"


main()
