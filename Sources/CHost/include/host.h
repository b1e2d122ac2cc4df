// What instructions ask of the world: time and randomness. The one place where they enter the engine, so that a recorder
// can stand in for them.
#ifndef CHOST_HOST_H
#define CHOST_HOST_H
#include <stdint.h>

/// The time-stamp counter: TSC on x86-64, the virtual counter on arm64.
uint64_t vt_host_time_stamp(void);
/// 64 random bits from the kernel.
uint64_t vt_host_random(void);
#endif
