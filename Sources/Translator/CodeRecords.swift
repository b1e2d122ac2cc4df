// What the code cache keeps of each block, and of each place where one is left, in tables beside the code.

/// A place where translated code leaves its block.
// PERF: 24 bytes, without gaps: a program's start makes ten of them a block, and the pages that they lie in cost most.
struct Site {
  enum Kind: UInt8 {
    /// Goes on at `target`; linked to the target's block once that exists.
    case branch
    /// The interpreter has to execute the instruction at `target`.
    case interpret
    /// SYSCALL; `target` is behind it.
    case systemCall
    /// The guest's stack pointer left the window; goes on at `target`.
    case wildStack
    /// The budget may not reach over what begins at `target`.
    case budget
    /// A register that the loop at `target` has guarded in front is no address.
    case wildLoop
    /// Not left through: an indirect branch or return at `target`, which moves RSP by `stack`.
    case indirect
    /// Not left through: a landing behind a call, whose JRCXZ distance is at `patch`.
    case landing
  }
  /// Guest address.
  var target: UInt64
  /// Offsets in the cache: the 32-bit distance to patch, and the code that leaves.
  var patch: UInt32 = 0
  var stub: UInt32 = 0
  /// Of a linked branch: the next site linked to the same block; index + 1. Of one that comes from the store and is not linked: what
  /// that says of its target (`TranslationStore.number`). Of an indirect branch: `stack`.
  var next: UInt32 = 0
  /// Instructions of the block executed when it leaves here, and those charged that are not (X64/Counting.swift).
  var executed: UInt8 = 0
  var unused: UInt8 = 0
  var kind: Kind
  var isLinked = false

  var stack: Int32 {
    get { kind == .indirect ? Int32(bitPattern: next) : 0 }
    set { next = UInt32(bitPattern: newValue) }
  }
}

/// What of the guest's state is in the host's registers while translated code runs, beside what always is.
struct LoadedState: OptionSet {
  let rawValue: UInt8
  static let x87 = LoadedState(rawValue: 1)
  /// AVX-512.
  static let wideVectors = LoadedState(rawValue: 2)
}

/// What the cache knows of a block beside its C part.
struct BlockRecord {
  /// Sites linked to it; index + 1.
  var incoming: UInt32 = 0
  /// Where indirect branches enter, and the distance of its JRCXZ; 0: not yet.
  var indirectEntry: UInt32 = 0
  var indirectDistance: UInt32 = 0
  var firstSite: UInt32
  var siteCount: UInt16
  /// Guest instructions, and which of them begin what is charged together (X64/Counting.swift).
  var instructions: UInt16
  var segments: UInt64 = 0
  /// It can be found, and its code has not changed. False from the beginning for a block that one engine makes for itself.
  var isAlive = true
  /// Its code belongs to a critical section: entered and left through the run loop only, which keeps the lock meanwhile.
  var isInSection = false
}
