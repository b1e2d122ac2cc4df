// The only C in the product: what Swift cannot say. No logic lives here. Public headers include nothing beyond the
// compiler's own <stdint.h> and <stddef.h>, so that the portable core also builds for hosts without a libc.
#ifndef CHOST_H
#define CHOST_H
#include "state.h"
#include "guard.h"
#include "translated.h"
#include "signals.h"
#include "memory.h"
#include "host.h"
#include "arithmetic.h"
#include "system.h"
#include "threads.h"
#include "evacuate.h"
#include "x87.h"
#include "float.h"
#include "vector.h"
#endif
