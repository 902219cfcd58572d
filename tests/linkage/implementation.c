/* implementation.c - the one copy of a program whose other units only declare. */
#define PRUNESID_DECLARATIONS
#include "prunesid.h" /* as another header of the same project might */
#undef PRUNESID_DECLARATIONS
#define PRUNESID_IMPLEMENTATION
#include "prunesid.h"
#include "prunesid.h" /* a second include changes nothing */
