// What can be chosen about translation. Plain values.

/// Options of a `TranslatorEngine`.
public struct TranslatorOptions: Sendable {
  /// Data flow keeps every address inside the guest window, also speculatively.
  public var isGuarded = true
  /// Count instructions exactly and honour budgets exactly.
  public var countsInstructions = false
  /// Link blocks to each other; without it every branch goes through the run loop (for tests).
  public var linksBlocks = true
  /// Bytes of host code kept.
  public var cacheSize = 64 << 20
  /// Forget all code after this many blocks (for tests); nil: only when the cache is full.
  public var flushInterval: Int?
  /// Whether runs are to be repeatable: instructions are counted, and chance is trapped.
  public var isRepeatable: Bool {
    get { countsInstructions && trapsChance }
    set { (countsInstructions, trapsChance) = (newValue, newValue) }
  }
  /// Instructions whose results are chance are left to the interpreter, which traps them for a recorder (`vt_cpu_state.traps_chance`).
  public var trapsChance = false
  /// While it counts, translated code makes system calls by itself all the same, and logs them for a recorder (`vt_call_log`).
  public var logsCalls = false
  /// Collect what costs time to collect: time spent translating, and which instructions the interpreter executes.
  public var measures = false
  /// Instructions in a block at most.
  public var longestBlock = 64

  /// The host has AVX-512, and the guest may use it: set by the engine.
  var hasVectors512 = false
  /// RSP may hold anything when the block is entered: it is guarded like other registers.
  var treatsStackAsPointer = false
  /// The block is for one execution by the engine that makes it; nobody else finds it.
  var isPrivate = false
  /// Memory operands are not accessed: no element of theirs is wanted.
  var operandIsMasked = false
  /// The window's size: the first address that is not the guest's.
  var windowLimit: UInt64 = 1 << 46
  /// Constants below this are accessed, and taken for harmless, as they stand; wherever windows end.
  static let endOfConstants: UInt64 = 1 << 47
  /// What the buffers are made for.
  static let mostInstructions = 64

  public init() {}
}

/// Where the usual translation was found not to fit the guest's values. A guest can make such places for ever, so a set
/// that is full is emptied: blocks translated with its help stay as they are, and what is translated anew is found out
/// again by one fault each.
struct TranslationExceptions {
  /// Places remembered in each set.
  static let most = 1 << 16
  /// Instructions whose memory operands need their displacement guarded as well: the base alone was no address.
  private(set) var addresses: Set<UInt64> = []
  /// Heads of loops whose registers are no addresses when the loop begins.
  private(set) var loops: Set<UInt64> = []

  /// False: it was there already.
  mutating func insert(address: UInt64) -> Bool { TranslationExceptions.insert(address, into: &addresses) }

  mutating func insert(loop: UInt64) { _ = TranslationExceptions.insert(loop, into: &loops) }

  /// Whether the code at these addresses has to be translated with what was found out.
  func concern(_ guest: Range<UInt64>) -> Bool {
    if loops.isEmpty && addresses.isEmpty { return false }
    if loops.contains(guest.lowerBound) { return true }
    if addresses.count < guest.count { return addresses.contains(where: guest.contains) }
    return guest.contains(where: addresses.contains)
  }

  private static func insert(_ place: UInt64, into places: inout Set<UInt64>) -> Bool {
    if places.contains(place) { return false }
    if places.count >= most { places.removeAll(keepingCapacity: true) }
    places.insert(place)
    return true
  }
}

/// Counters of an address space's translator: of all its threads' engines together.
public struct TranslatorStatistics: Sendable {
  /// Blocks and guest instructions translated, bytes of guest code and of host code, since creation.
  public var blocks = 0
  /// Blocks taken from the store instead.
  public var storedBlocks = 0
  public var instructions = 0
  public var guestBytes = 0
  public var hostBytes = 0
  /// Direct branches linked; linked branches undone.
  public var links = 0
  public var unlinks = 0
  /// Indirect branches and returns that the run loop had to resolve.
  public var indirectMisses = 0
  /// Misses whose place in the table another target had.
  public var indirectConflicts = 0
  /// Reasons for leaving translated code besides: a direct branch that is not linked, a system call, a signal.
  public var branchExits = 0
  public var systemCalls = 0
  /// System calls that translated code has made by itself.
  public var directCalls = 0
  public var signals = 0
  /// Times that translated code was left; single instructions left to the interpreter; faults among them.
  public var exits = 0
  public var interpreted = 0
  public var faults = 0
  public var flushes = 0
  /// Blocks that died because their code changed.
  public var invalidations = 0
  /// Bytes of host code that the cache holds now, and at most.
  public var cacheUsed = 0
  public var cacheSize = 0
  /// Nanoseconds spent translating, and instructions left to the interpreter by row; only when asked for.
  public var translationTime: Int?
  public var interpretedRows: [UInt16: Int] = [:]

  public init() {}
}
