#!/usr/bin/env python3
"""The shared library by dlopen, from another language: nothing but ctypes and the interface's types.

    library.py SHARED_LIBRARY
"""
import ctypes as c
import sys

library = c.CDLL(sys.argv[1])


class Threads(c.Structure):
    _fields_ = [("n_workers", c.c_size_t), ("run", c.c_void_p), ("user", c.c_void_p)]


class Config(c.Structure):
    _fields_ = [("preset", c.c_int), ("budget", c.c_size_t), ("reserved", c.c_size_t),
                ("n_groups", c.c_size_t), ("svd", c.c_int), ("threads", Threads),
                ("clock_ns", c.c_void_p)]


class Input(c.Structure):
    _fields_ = [("tokens", c.c_void_p), ("dtype", c.c_int), ("n_tokens", c.c_size_t),
                ("dim", c.c_size_t), ("ld", c.c_size_t), ("first", c.c_size_t),
                ("scores", c.POINTER(c.c_float)), ("loadings", c.POINTER(c.c_float)),
                ("ld_loadings", c.c_size_t), ("protected_tokens", c.POINTER(c.c_int32)),
                ("n_protected", c.c_size_t)]


library.prunesid_config_init.restype = Config
library.prunesid_config_init.argtypes = [c.c_int, c.c_size_t]
library.prunesid_input_init.restype = Input
library.prunesid_input_init.argtypes = [c.c_void_p, c.c_int, c.c_size_t, c.c_size_t]
library.prunesid_select_alloc.argtypes = [c.POINTER(Config), c.POINTER(Input), c.POINTER(c.c_int32),
                                          c.c_size_t, c.c_void_p, c.c_void_p]
library.prunesid_status_string.restype = c.c_char_p

T, D, N = 100, 8, 20
tokens = (c.c_float * (T * D))(*[float(i * i % 101) for i in range(T * D)])
config = library.prunesid_config_init(0, N)
data = library.prunesid_input_init(tokens, 0, T, D)
assert (config.budget, config.threads.n_workers, config.clock_ns) == (N, 1, None)
assert (data.n_tokens, data.dim, data.ld, data.n_protected) == (T, D, D, 0)
runs = []
for protected in ([], [5, 50]):
    data.protected_tokens = (c.c_int32 * 2)(*protected)
    data.n_protected = len(protected)
    kept = (c.c_int32 * N)()
    assert library.prunesid_select_alloc(config, data, kept, N, None, None) == 0
    assert list(kept) == sorted(set(kept)) and 0 <= kept[0] and kept[N - 1] < T
    assert set(protected) <= set(kept)
    runs.append(list(kept))
assert runs[0] != runs[1]
tokens[13] = float("nan")
status = library.prunesid_select_alloc(config, data, kept, N, None, None)
text = library.prunesid_status_string(status)
assert (status, text) == (-116, b"a token is not finite"), (status, text)
print(f"version {library.prunesid_version()}: {runs[0]}")
