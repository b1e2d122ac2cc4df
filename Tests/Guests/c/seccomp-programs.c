// Programs of seccomp(2), built by hand: which ones the kernel takes, how many, and what they compute.
#include "guest-seccomp.h"

// MARK: Programs that the kernel takes or does not

static void check(const char *what, const op *program, size_t count) { say(what, set(0, program, count)); }
#define CHECK(what, ...) check(what, (op[]){__VA_ARGS__}, COUNT(((op[]){__VA_ARGS__})))

static void good_and_bad(void) {
  CHECK("returns", ALLOW);
  CHECK("returns A", S(BPF_LD | BPF_IMM, SECCOMP_RET_ALLOW), S(BPF_RET | BPF_A, 0));
  CHECK("returns X", S(BPF_RET | BPF_X, 0));
  CHECK("does not return", S(BPF_LD | BPF_IMM, 0));
  CHECK("returns early only", ALLOW, S(BPF_LD | BPF_IMM, 0));
  CHECK("size", S(BPF_LD | BPF_W | BPF_LEN, 0), S(BPF_LDX | BPF_W | BPF_LEN, 0), ALLOW);
  CHECK("load of the last word", LOAD(60), ALLOW);
  CHECK("load behind the end", LOAD(64), ALLOW);
  CHECK("load far away", LOAD(0xfffff000), ALLOW);
  CHECK("load between words", LOAD(2), ALLOW);
  CHECK("load of a half", S(BPF_LD | BPF_H | BPF_ABS, 0), ALLOW);
  CHECK("load of a byte", S(BPF_LD | BPF_B | BPF_ABS, 0), ALLOW);
  CHECK("load by X", S(BPF_LD | BPF_W | BPF_IND, 0), ALLOW);
  CHECK("load of a header's length", S(BPF_LDX | BPF_B | BPF_MSH, 0), ALLOW);
  CHECK("load of X", S(BPF_LDX | BPF_W | BPF_ABS, 0), ALLOW);
  CHECK("memory", S(BPF_ST, 15), S(BPF_LD | BPF_MEM, 15), ALLOW);
  CHECK("memory by X", S(BPF_STX, 0), S(BPF_LDX | BPF_MEM, 0), ALLOW);
  CHECK("memory that is not there", S(BPF_ST, 16), ALLOW);
  CHECK("memory that is not there, X", S(BPF_STX, 16), ALLOW);
  CHECK("memory that was not written", S(BPF_LD | BPF_MEM, 0), ALLOW);
  CHECK("memory that was not written, X", S(BPF_ST, 1), S(BPF_LDX | BPF_MEM, 0), ALLOW);
  CHECK("memory written on one way", LOAD(0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 1), S(BPF_ST, 3), S(BPF_LD | BPF_MEM, 3), ALLOW);
  CHECK("memory written on both", LOAD(0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 2), S(BPF_ST, 3), S(BPF_JMP | BPF_JA, 1),
        S(BPF_STX, 3), S(BPF_LD | BPF_MEM, 3), ALLOW);
  CHECK("memory behind a jump", S(BPF_JMP | BPF_JA, 1), S(BPF_LD | BPF_MEM, 3), ALLOW);
  CHECK("memory behind a return", ALLOW, S(BPF_LD | BPF_MEM, 3), ALLOW);
  CHECK("division by 0", S(BPF_ALU | BPF_DIV | BPF_K, 0), ALLOW);
  CHECK("division by 1", S(BPF_ALU | BPF_DIV | BPF_K, 1), ALLOW);
  CHECK("division by X", S(BPF_LDX | BPF_IMM, 1), S(BPF_ALU | BPF_DIV | BPF_X, 0), ALLOW);
  CHECK("remainder", S(BPF_ALU | BPF_MOD | BPF_K, 2), ALLOW);
  CHECK("remainder by X", S(BPF_ALU | BPF_MOD | BPF_X, 2), ALLOW);
  CHECK("shift by 31", S(BPF_ALU | BPF_LSH | BPF_K, 31), S(BPF_ALU | BPF_RSH | BPF_K, 31), ALLOW);
  CHECK("shift by 32", S(BPF_ALU | BPF_LSH | BPF_K, 32), ALLOW);
  CHECK("shift to the right by 32", S(BPF_ALU | BPF_RSH | BPF_K, 32), ALLOW);
  CHECK("negation", S(BPF_ALU | BPF_NEG, 0), ALLOW);
  CHECK("negation of X", S(BPF_ALU | BPF_NEG | BPF_X, 0), ALLOW);
  CHECK("jump to the last", S(BPF_JMP | BPF_JA, 1), ALLOW, ALLOW);
  CHECK("jump behind the last", S(BPF_JMP | BPF_JA, 2), ALLOW, ALLOW);
  CHECK("jump back", S(BPF_JMP | BPF_JA, 0xffffffff), ALLOW);
  CHECK("true behind the last", BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 1, 1, 0), ALLOW);
  CHECK("false behind the last", BPF_JUMP(BPF_JMP | BPF_JSET | BPF_X, 1, 0, 1), ALLOW);
  CHECK("comparison that is none", BPF_JUMP(BPF_JMP | 0x50 | BPF_K, 1, 0, 0), ALLOW);
  CHECK("unknown code", S(0xffff, 0), ALLOW);
  CHECK("code with high bits", S(BPF_RET | 0x100, 0), ALLOW);
  CHECK("unknown action", RETURN(0x7fff0000), ALLOW);
  static op many[4097];
  for (size_t i = 0; i < COUNT(many); i++) many[i] = (op)S(BPF_LD | BPF_IMM, 0);
  many[4095] = many[4096] = (op)ALLOW;
  check("4096 instructions", many, 4096);
  check("4097 instructions", many, 4097);
  check("none", many, 0);
  say("no program", set(0, NULL, 1));
  say("a program nowhere", set(0, (op *)16, 1));
  say("a program half nowhere", set(0, (op *)((((uintptr_t)sbrk(0) + 4095) & ~4095ul) - 8), 3));
  fields();
}

// Every instruction with each of all codes: which are allowed.
static void codes(void) {
  unsigned long digest = 0;
  int allowed = 0;
  for (unsigned code = 0; code < 512; code++) {
    op program[] = {S(BPF_ST, 0), {(unsigned short)code, 0, 0, 0}, ALLOW};
    op other[] = {S(BPF_ST, 0), {(unsigned short)code, 0, 0, 4}, S(BPF_ST, 4), ALLOW};
    long result[] = {set(0, program, 3), set(0, other, 4)};
    allowed += (result[0] == 0) + (result[1] == 0);
    digest = (digest ^ (unsigned long)(result[0] * 3 + result[1])) * 0x100000001b3;
  }
  say("codes that are allowed", allowed);
  say("which", (long)(digest >> 8));
}

// How many programs of `count` equal instructions there can be.
static void fill(const char *what, op instruction, size_t count) {
  static op program[4096];
  for (size_t i = 0; i < count; i++) program[i] = instruction;
  program[0] = (op)S(BPF_LDX | BPF_IMM, 1);
  program[count - 1] = program[count - 2] = (op)ALLOW;
  long result, installed = 0;
  while (!(result = set(0, program, count)) && installed < 10000) installed++;
  say(what, installed);
  say("then", result);
}
static void limit_of_plain(void) { fill("large programs", (op)S(BPF_LD | BPF_IMM, 0), 4096); }
static void limit_of_small(void) { fill("small programs", (op)S(BPF_LD | BPF_IMM, 0), 40); }
static void limit_of_returns(void) { fill("programs of returns", (op)ALLOW, 2000); }
static void limit_of_divisions(void) { fill("programs of divisions", (op)S(BPF_ALU | BPF_DIV | BPF_X, 0), 300); }
static void limit_of_jumps(void) { fill("programs of jumps", (op)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x80000000, 1, 1), 500); }
static void limit_of_jumps_to_next(void) { fill("programs of jumps, one to the next", (op)BPF_JUMP(BPF_JMP | BPF_JGT | BPF_X, 0, 0, 1), 500); }
static void limit_of_tests(void) { fill("programs of tests", (op)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 1, 0, 1), 500); }

// Programs that compute: what they find becomes an error number.
static long computed(const char *what, const op *program, size_t count) {
  int ends[2];
  pipe(ends);
  pid_t child = fork();
  if (!child) {
    no_new_privileges();
    op whole[64] = {LOAD(NUMBER), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PROBE, 1, 0), ALLOW};
    memcpy(whole + 3, program, count * sizeof(op));
    op end[] = {S(BPF_ALU | BPF_AND | BPF_K, 0xfff), S(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_ERRNO), S(BPF_RET | BPF_A, 0)};
    memcpy(whole + 3 + count, end, sizeof end);
    long result = set(0, whole, count + 6);
    if (!result) result = raw(PROBE, 0x1122334455667788, -2, 3, 4, 5, 0x99aabbccddeeff);
    write(ends[1], &result, sizeof result);
    _exit(0);
  }
  long result = 0;
  read(ends[0], &result, sizeof result);
  close(ends[0]);
  close(ends[1]);
  waitpid(child, NULL, 0);
  char text[64];
  snprintf(text, sizeof text, "%-44s %#lx\n", what, -result);
  raw(SYS_write, 1, (long)text, (long)strlen(text), 0, 0, 0);
  return result;
}
#define COMPUTE(what, ...) computed(what, (op[]){__VA_ARGS__}, COUNT(((op[]){__VA_ARGS__})))
#define A(value) S(BPF_LD | BPF_IMM, value)
#define X(value) S(BPF_LDX | BPF_IMM, value)
#define ALU(name, value) S(BPF_ALU | BPF_##name | BPF_K, value)
#define ALUX(name) S(BPF_ALU | BPF_##name | BPF_X, 0)
// 1 if the jump is taken.
#define TEST(code, k) BPF_JUMP(BPF_JMP | (code), k, 1, 0), A(0), BPF_JUMP(BPF_JMP | BPF_JA, 0, 0, 0), A(1)

static void computing(void) {
  COMPUTE("add", A(0xfffffffe), ALU(ADD, 5));
  COMPUTE("subtract", A(2), ALU(SUB, 5));
  COMPUTE("multiply", A(0x10001), ALU(MUL, 0x10003));
  COMPUTE("divide", A(0xffffffff), ALU(DIV, 0x100001));
  COMPUTE("and, or, xor", A(0x123), ALU(AND, 0xf0f), ALU(OR, 0x40), ALU(XOR, 0xff));
  COMPUTE("shifts", A(0x12345678), ALU(LSH, 4), ALU(RSH, 20));
  COMPUTE("negate", A(5), S(BPF_ALU | BPF_NEG, 0));
  COMPUTE("by X: add, subtract", A(7), X(9), ALUX(ADD), ALUX(ADD), ALUX(SUB));
  COMPUTE("by X: multiply, divide", A(0x1234567), X(3), ALUX(MUL), X(0x10000), ALUX(DIV));
  COMPUTE("by X: and, or, xor", A(0x123), X(0xf1), ALUX(AND), X(0x300), ALUX(OR), X(0x111), ALUX(XOR));
  COMPUTE("by X: shift by 33", A(0x123), X(33), ALUX(LSH));
  COMPUTE("by X: shift right by 36", A(0x123), X(36), ALUX(RSH));
  COMPUTE("size", S(BPF_LD | BPF_W | BPF_LEN, 0), S(BPF_MISC | BPF_TAX, 0), A(0), ALUX(ADD), S(BPF_LDX | BPF_W | BPF_LEN, 0), ALUX(ADD));
  COMPUTE("A to X and back", A(0x345), S(BPF_MISC | BPF_TAX, 0), A(1), S(BPF_MISC | BPF_TXA, 0));
  COMPUTE("memory", A(0x7a), S(BPF_ST, 3), X(0x500), S(BPF_STX, 15), A(0), S(BPF_LDX | BPF_MEM, 15), S(BPF_LD | BPF_MEM, 3), ALUX(ADD));
  COMPUTE("A and X at first", S(BPF_MISC | BPF_TXA, 0), ALU(ADD, 1));
  COMPUTE("architecture", LOAD(4));
  COMPUTE("architecture, high half", LOAD(4), ALU(RSH, 20));
  COMPUTE("number", LOAD(0));
  COMPUTE("first argument, low", LOAD(LOW(0)));
  COMPUTE("first argument, high", LOAD(HIGH(0)));
  COMPUTE("second argument, low", LOAD(LOW(1)));
  COMPUTE("second argument, high", LOAD(HIGH(1)));
  COMPUTE("third argument", LOAD(LOW(2)));
  COMPUTE("fourth argument", LOAD(LOW(3)));
  COMPUTE("fifth argument", LOAD(LOW(4)));
  COMPUTE("sixth argument, low", LOAD(LOW(5)));
  COMPUTE("sixth argument, high", LOAD(HIGH(5)), ALU(RSH, 4));
  COMPUTE("equal", A(0x80000000), TEST(BPF_JEQ | BPF_K, 0x80000000));
  COMPUTE("not equal", A(0x80000000), TEST(BPF_JEQ | BPF_K, 0x80000001));
  COMPUTE("greater, unsigned", A(0x80000000), TEST(BPF_JGT | BPF_K, 0x7fffffff));
  COMPUTE("greater than itself", A(5), TEST(BPF_JGT | BPF_K, 5));
  COMPUTE("not less than itself", A(0xfffffff0), TEST(BPF_JGE | BPF_K, 0xfffffff0));
  COMPUTE("not less than more", A(5), TEST(BPF_JGE | BPF_K, 0xfffffff0));
  COMPUTE("a bit", A(0x80000001), TEST(BPF_JSET | BPF_K, 0x80000000));
  COMPUTE("no bit", A(0x80000001), TEST(BPF_JSET | BPF_K, 0x7ffffffe));
  COMPUTE("equal to X", A(5), X(5), TEST(BPF_JEQ | BPF_X, 1));
  COMPUTE("greater than X", A(5), X(0xffffffff), TEST(BPF_JGT | BPF_X, 1));
  COMPUTE("not less than X", A(5), X(4), TEST(BPF_JGE | BPF_X, 9));
  COMPUTE("a bit of X", A(5), X(4), TEST(BPF_JSET | BPF_X, 2));
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
#define CHILD(name) in_child(#name, name)
  CHILD(good_and_bad), CHILD(codes), CHILD(limit_of_plain), CHILD(limit_of_small), CHILD(limit_of_returns), CHILD(limit_of_divisions);
  CHILD(limit_of_jumps), CHILD(limit_of_jumps_to_next), CHILD(limit_of_tests);
  computing();
}
