// Time, randomness, processor and plain memory of the host.
#include "CHost.h"
#include <string.h>

uint64_t vt_host_time_stamp(void) {
#if defined(__x86_64__)
  uint32_t low, high;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
  return (uint64_t)high << 32 | low;
#elif defined(__aarch64__)
  uint64_t value;
  __asm__ volatile("mrs %0, cntvct_el0" : "=r"(value));
  return value;
#else
  return 0;
#endif
}

uint32_t vt_host_processor_number(void) {
#if defined(__x86_64__)
  // The limit of a segment that Linux has for this (__CPUNODE_SEG), on processors without RDPID and RDTSCP, too.
  uint32_t number = 0;
  __asm__ volatile("lsl %1, %0" : "+r"(number) : "r"(0x7b) : "cc");
  return number;
#else
  return 0;
#endif
}

uint64_t vt_host_describe_segment(uint32_t question, uint32_t selector) {
#if defined(__x86_64__)
  uint32_t value = 0;
  uint8_t zero = 0;
  uint16_t word = (uint16_t)selector;
  switch (question) {
    case 0: __asm__ volatile("lar %k2, %0" : "+r"(value), "=@ccz"(zero) : "r"((uint32_t)word)); break;
    case 1: __asm__ volatile("lsl %k2, %0" : "+r"(value), "=@ccz"(zero) : "r"((uint32_t)word)); break;
    case 2: __asm__ volatile("verr %1" : "=@ccz"(zero) : "r"(word)); return zero;
    default: __asm__ volatile("verw %1" : "=@ccz"(zero) : "r"(word)); return zero;
  }
  return zero ? 1ull << 32 | value : 0;
#else
  (void)question;
  (void)selector;
  return 0;
#endif
}

uint64_t vt_host_random(void) {
  uint64_t value = 0;
  enum { getrandom = 318 };
  while (vt_syscall6(getrandom, (int64_t)(uintptr_t)&value, sizeof value, 0, 0, 0, 0) < 0) {}
  return value;
}

#if defined(__x86_64__)
static void identify(uint32_t leaf, uint32_t subleaf, uint32_t r[4]) {
  __asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(subleaf));
}

void vt_host_identify(uint32_t leaf, uint32_t subleaf, uint32_t registers[4]) {
  // Each is asked for once: hypervisors intercept CPUID, which then takes microseconds, and a guest's CPUID comes here often.
  static struct {
    uint32_t isKnown, registers[4];
  } answers[VT_HOST_LEAVES][VT_HOST_SUBLEAVES];
  memset(registers, 0, 4 * sizeof *registers);
  if (leaf >= VT_HOST_LEAVES || subleaf >= VT_HOST_SUBLEAVES) return;
  if (leaf > 0) {
    uint32_t highest[4];
    vt_host_identify(0, 0, highest);
    if (leaf > highest[0]) return;
  }
  uint32_t *answer = answers[leaf][subleaf].registers;
  if (!__atomic_load_n(&answers[leaf][subleaf].isKnown, __ATOMIC_ACQUIRE)) {
    // Two threads that come here at once write the same.
    identify(leaf, subleaf, answer);
    __atomic_store_n(&answers[leaf][subleaf].isKnown, 1, __ATOMIC_RELEASE);
  }
  memcpy(registers, answer, 4 * sizeof *registers);
}

uint64_t vt_host_components(void) {
  uint32_t registers[4], low, high;
  const uint32_t osxsave = 1u << 27;
  vt_host_identify(1, 0, registers);
  if (!(registers[2] & osxsave)) return 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t)high << 32 | low;
}
#else
void vt_host_identify(uint32_t leaf, uint32_t subleaf, uint32_t registers[4]) {
  (void)leaf, (void)subleaf;
  for (int i = 0; i < 4; i++) registers[i] = 0;
}

uint64_t vt_host_components(void) { return 0; }
#endif

#if defined(__linux__) && defined(__x86_64__)
void *vt_allocate_zeroed(size_t size) {
  enum { mmap = 9, read_write = 3, private_anonymous = 0x22 };
  int64_t result = vt_syscall6(mmap, 0, (int64_t)size, read_write, private_anonymous, -1, 0);
  return result < 0 && result > -4096 ? NULL : (void *)(uintptr_t)result;
}

void vt_release(void *memory, size_t size) {
  enum { munmap = 11 };
  vt_syscall6(munmap, (int64_t)(uintptr_t)memory, (int64_t)size, 0, 0, 0, 0);
}
#else
void *calloc(size_t count, size_t size);
void free(void *memory);

void *vt_allocate_zeroed(size_t size) { return calloc(1, size); }
void vt_release(void *memory, size_t size) {
  (void)size;
  free(memory);
}
#endif

#if defined(__linux__) && defined(__ELF__) && defined(__x86_64__)
#include <elf.h>

extern __attribute__((weak)) const Elf64_Ehdr __ehdr_start;

size_t vt_build_id(void *target, size_t size) {
  if (&__ehdr_start == NULL) return 0;
  const char *file = (const char *)&__ehdr_start;
  const char *base = __ehdr_start.e_type == ET_EXEC ? NULL : file;
  const Elf64_Phdr *header = (const void *)(file + __ehdr_start.e_phoff);
  for (int i = 0; i < __ehdr_start.e_phnum; i++, header++) {
    if (header->p_type != PT_NOTE) continue;
    for (uint64_t offset = 0; offset + sizeof(Elf64_Nhdr) < header->p_memsz;) {
      const Elf64_Nhdr *note = (const void *)(base + header->p_vaddr + offset);
      const char *name = (const char *)(note + 1), *value = name + ((note->n_namesz + 3) & ~3u);
      if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 && __builtin_memcmp(name, "GNU", 4) == 0) {
        size_t count = note->n_descsz < size ? note->n_descsz : size;
        __builtin_memcpy(target, value, count);
        return count;
      }
      offset += (uint64_t)(value - (const char *)note) + ((note->n_descsz + 3) & ~3u);
    }
  }
  return 0;
}
#else
size_t vt_build_id(void *target, size_t size) {
  (void)target, (void)size;
  return 0;
}
#endif
