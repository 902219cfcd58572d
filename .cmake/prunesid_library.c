/* One shared copy of the functions. A shared library exports the public ones and nothing else. */
#if defined(PRUNESID_SHARED) && defined(_WIN32)
#define PRUNESID_API __declspec(dllexport)
#elif defined(PRUNESID_SHARED)
#define PRUNESID_API __attribute__((visibility("default")))
#endif
#define PRUNESID_IMPLEMENTATION
#include "prunesid.h"
