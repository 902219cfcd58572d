/* library.c - the one copy of the library's functions for all of the tool.   MIT licence. */
#define PRUNESID_IMPLEMENTATION
#include "prunesid.h"
