// What instructions ask of the world: time, randomness, the host's processor. The one place where they enter the engine, so that a recorder
// can stand in for them.
#ifndef CHOST_HOST_H
#define CHOST_HOST_H
#include <stddef.h>
#include <stdint.h>

/// The time-stamp counter: TSC on x86-64, the virtual counter on arm64.
uint64_t vt_host_time_stamp(void);
/// The number of the processor that the caller runs on, and its node times 4096: what the kernel keeps for RDPID.
uint32_t vt_host_processor_number(void);
/// What LAR (0) or LSL (1) say of a selector, with bit 32 set where they say anything, or whether VERR (2) or VERW (3) allow it; 0 on hosts
/// that are not x86-64.
uint64_t vt_host_describe_segment(uint32_t question, uint32_t selector);
/// 64 random bits from the kernel.
uint64_t vt_host_random(void);
/// What `vt_host_identify` knows of.
enum { VT_HOST_LEAVES = 8, VT_HOST_SUBLEAVES = 2 };
/// What the host's CPUID says in these leaves and subleaves: EAX EBX ECX EDX; zeros in others, beyond the last leaf, and on hosts that are not
/// x86-64.
void vt_host_identify(uint32_t leaf, uint32_t subleaf, uint32_t registers[4]);
/// The linker's name for this executable (NT_GNU_BUILD_ID): its bytes, at most `size`, and how many there are; 0 without one.
size_t vt_build_id(void *target, size_t size);
/// The host's XCR0: the state components that programs may use; 0 without XSAVE.
uint64_t vt_host_components(void);
#endif
