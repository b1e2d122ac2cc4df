// What a recording consists of: everything that has crossed into a process's machine, in order. An event happens to one guest thread after
// a number of its instructions, and says what became of registers and memory. Plain values, and their form in the file.
//
//     record    tag (1 byte), contents
//       1 start   where a timeline begins
//       2 file    a mapped file: number, size, path
//       3 data    contents of a file: number, offset, and the number of the piece that holds them
//       4 event   kind, thread, instructions since the thread's last event, contents by kind
//
// Numbers are LEB128. Formats change with `RecordingFile.version`.
import Engine
import GuestMemory
import X86

/// The registers that events speak of, in this order: RAX … R15 by their encoding, FS base, GS base, RIP, RFLAGS.
struct RegisterWords: Equatable {
  static let count = 20
  static let names = [
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
    "r15", "fs_base", "gs_base", "rip", "eflags",
  ]
  static let flags = 19
  /// What of RFLAGS a program can change, and what is always set.
  private static let userFlags: UInt64 = 0x24_4fd7
  // PERF: inline, because two of them are made for each system call.
  private var words = InlineArray<20, UInt64>(repeating: 0)

  init() {}

  init(_ cpu: UnsafeMutablePointer<CPUState>) {
    // SAFETY: `general` is the first member, sixteen 64-bit words (asserted in state.c).
    withUnsafeMutableBytes(of: &words) {
      $0.copyMemory(from: UnsafeRawBufferPointer(start: cpu, count: 16 * MemoryLayout<UInt64>.size))
    }
    words[16] = cpu.pointee.fs_base
    words[17] = cpu.pointee.gs_base
    words[18] = cpu.pointee.rip
    words[19] = cpu.pointee.lazyFlags.rflags
  }

  subscript(index: Int) -> UInt64 {
    get { words[index] }
    set { words[index] = newValue }
  }

  /// Stores the words that `mask` names.
  func store(_ mask: UInt32, to cpu: UnsafeMutablePointer<CPUState>) {
    for index in 0..<16 where mask >> UInt32(index) & 1 != 0 {
      UnsafeMutableRawPointer(cpu).storeBytes(of: words[index], toByteOffset: index &* 8, as: UInt64.self)
    }
    if mask >> 16 & 1 != 0 { cpu.pointee.fs_base = words[16] }
    if mask >> 17 & 1 != 0 { cpu.pointee.gs_base = words[17] }
    if mask >> 18 & 1 != 0 { cpu.pointee.rip = words[18] }
    if mask >> 19 & 1 != 0 { cpu.pointee.lazyFlags = LazyFlags(rflags: words[19] & RegisterWords.userFlags) }
  }

  static func == (left: RegisterWords, right: RegisterWords) -> Bool { left.difference(from: right) == 0 }

  /// Which words differ.
  // PERF: borrowed, and by spans: else all of the words are copied to look at one.
  borrowing func difference(from other: borrowing RegisterWords) -> UInt32 {
    let (mine, others) = (words.span, other.words.span)
    var mask: UInt32 = 0
    for index in 0..<RegisterWords.count {
      mask |= (mine[index] == others[index] ? 0 : 1) &<< UInt32(truncatingIfNeeded: index)
    }
    return mask
  }

  /// Calls `body` with each word that `mask` names, in order.
  borrowing func forEach(in mask: UInt32, _ body: (UInt64) -> Void) {
    let words = words.span
    for index in 0..<RegisterWords.count where mask &>> UInt32(index) & 1 != 0 { body(words[index]) }
  }

  /// A mixture of all words but the flags, some of which instructions leave undefined. SYSCALL leaves those in R11, too.
  var digest: UInt32 {
    let statusFlags: UInt64 = 0x8d5
    var mixed: UInt64 = 0
    for index in 0..<RegisterWords.flags {
      let word = index == 11 ? words[index] & ~statusFlags : words[index]
      mixed = (mixed ^ word) &* 0x9e37_79b9_7f4a_7c15 ^ mixed &>> 29
    }
    return UInt32(truncatingIfNeeded: mixed &>> 32)
  }
}

/// A change of a process's memory.
enum MemoryEffect: Equatable {
  /// What the address space's journal notes; `file` is the number in the recording.
  case change(MemoryJournal.Change)
  case write(start: UInt64, bytes: [UInt8])
  /// RLIMIT_STACK is now this.
  case stackLimit(UInt64)
  /// A mapped file has become so long.
  case fileSize(file: UInt32, size: UInt64)
}

/// What became of a thread's state.
struct StateEffect: Equatable {
  private static let allRegisters: UInt32 = 1 << UInt32(RegisterWords.count) - 1

  /// The registers that changed, and their words.
  var mask: UInt32 = 0
  var registers = RegisterWords()
  /// Vector and x87 registers, when they changed.
  var extended: [UInt8] = []
  var memory: [MemoryEffect] = []

  init(mask: UInt32 = 0, registers: RegisterWords = RegisterWords()) {
    (self.mask, self.registers) = (mask, registers)
  }

  /// All that a CPU has now.
  init(whole cpu: UnsafeMutablePointer<CPUState>) {
    self.init(mask: StateEffect.allRegisters, registers: RegisterWords(cpu))
    extended = ExtendedRegisters.bytes(cpu)
  }
}

/// One event.
struct Event: Equatable {
  enum Kind: Equatable {
    /// Another thread goes on; this one has come so far.
    case pause
    /// A system call has been answered. `output`: the descriptor of standard output or error that it wrote to, and when.
    case systemCall(number: UInt64, output: Output?)
    /// A signal came between two instructions, or a thread's registers were exchanged there.
    case interruption
    /// What other processes have written to memory that they share with this one has become visible.
    case othersWrites
    /// The instruction at RIP raised a fault, or was INT, and the program's handler is next.
    case fault
    /// The instruction at RIP has a result that is chance.
    case chance
    /// The thread begins, in this state.
    case threadBegins
    case threadEnds
    /// The process ends: by exit_group(2) with a code, or by a signal. `hash`: of its memory, when that was asked for.
    case end(code: Int32, signal: Int32, hash: UInt64?)
  }

  struct Output: Equatable {
    var descriptor: UInt8
    /// Bytes.
    var size: UInt64
    /// Its place among the outputs of all processes.
    var order: UInt64
  }

  var kind: Kind
  var thread: Int
  /// Instructions that the thread has executed since its last event.
  var count: InstructionCount
  var effect = StateEffect()
  /// Digest of the thread's registers before the event, from time to time.
  var digest: UInt32?
}

/// Where a timeline forks from another: behind so many of its events.
struct ForkPoint: Hashable {
  var timeline: UInt64
  var events: UInt64
}

/// Where a timeline begins.
struct TimelineStart: Equatable {
  /// Nil for the first program.
  var parent: ForkPoint?
  /// The process's number at the time of recording.
  var process: UInt64 = 0
  /// CPUID's level, as `CPUID.Level.rawValue`.
  var level: UInt32 = 0
  var stackLimit: UInt64 = 0
  var arguments: [[UInt8]] = []
  var executable: [UInt8] = []
}

/// A file that has been mapped.
struct RecordedFile: Equatable {
  var number: UInt32
  var device: UInt64
  var inode: UInt64
  var size: UInt64
  var path: [UInt8]
}

enum Record: Equatable {
  case start(TimelineStart)
  case file(RecordedFile)
  case data(file: UInt32, offset: UInt64, piece: UInt32)
  case event(Event)
}
