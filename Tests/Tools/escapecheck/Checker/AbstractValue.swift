// What is known of a host register while emitted code is followed: an interval of numbers, or which of the translator's own
// values it is. Values carry an identity, so that "the upper four bits of that very value" can be said. Plain values.

/// The knowledge about one register.
struct AbstractValue: Equatable {
  enum Kind: Equatable {
    /// A number of the guest's, as a signed number in this interval.
    case guest(ClosedRange<Int64>)
    /// The value with this identity, shifted right by 60.
    case topBits(of: Int)
    /// The pinned pointer to the CPU state; the shadow stack's pointer.
    case state, shadowStack
    /// The window's host address, and its negative.
    case window, negativeWindow
    /// The window's address plus a number of this interval.
    case hostPointer(ClosedRange<Int64>)
    /// A host address from the table of indirect entries.
    case indirectEntry
    /// One thing on one path, another on another, and at least one of them not the guest's.
    case mixed
  }

  var kind: Kind
  var identity: Int

  static let everything = Int64.min...Int64.max
  /// What the guard leaves: numbers below 2^60.
  static let guarded: ClosedRange<Int64> = 0...(1 << 60 - 1)
  static let unsigned32: ClosedRange<Int64> = 0...0xffff_ffff

  var interval: ClosedRange<Int64>? {
    switch kind {
    case .guest(let interval): interval
    case .topBits: 0...15
    default: nil
    }
  }

  /// A host address or something made of one: the guest must never see it.
  var isHost: Bool { interval == nil }
}

extension ClosedRange<Int64> {
  /// The sums; nil when they do not fit.
  func adding(_ other: ClosedRange<Int64>) -> ClosedRange<Int64>? {
    let (low, isLow) = lowerBound.addingReportingOverflow(other.lowerBound)
    let (high, isHigh) = upperBound.addingReportingOverflow(other.upperBound)
    return isLow || isHigh ? nil : low...high
  }

  func multiplied(by factor: Int64) -> ClosedRange<Int64>? {
    let (low, isLow) = lowerBound.multipliedReportingOverflow(by: factor)
    let (high, isHigh) = upperBound.multipliedReportingOverflow(by: factor)
    return isLow || isHigh ? nil : low...high
  }

  func hull(_ other: ClosedRange<Int64>) -> ClosedRange<Int64> {
    Swift.min(lowerBound, other.lowerBound)...Swift.max(upperBound, other.upperBound)
  }

  func contains(_ other: ClosedRange<Int64>) -> Bool {
    lowerBound <= other.lowerBound && other.upperBound <= upperBound
  }
}

/// What is known of all sixteen registers.
struct AbstractState {
  /// The guest's stack pointer wherever a block is entered or left for another (X64/StackTemplates.swift).
  static let stackInvariant: ClosedRange<Int64> = -(1 << 32)...(1 << 60 + 1 << 32)
  static let scratch = 1, shadowStack = 4, state = 5, secondScratch = 12, guestStack = 15

  private(set) var registers: [AbstractValue] = []
  private var lastIdentity = 16

  /// What holds at the beginning of every block: guest registers hold anything, the stack pointer keeps its invariant.
  init() {
    for number in 0..<16 {
      let kind: AbstractValue.Kind =
        switch number {
        case AbstractState.shadowStack: .shadowStack
        case AbstractState.state: .state
        case AbstractState.guestStack: .guest(AbstractState.stackInvariant)
        default: .guest(AbstractValue.everything)
        }
      registers.append(AbstractValue(kind: kind, identity: number))
    }
  }

  subscript(number: Int) -> AbstractValue { registers[number & 15] }

  /// The register gets a value of its own.
  mutating func set(_ number: Int, _ kind: AbstractValue.Kind) {
    lastIdentity += 1
    registers[number & 15] = AbstractValue(kind: kind, identity: lastIdentity)
  }

  /// The register gets the very value of another.
  mutating func copy(_ number: Int, _ value: AbstractValue) { registers[number & 15] = value }

  /// More is known of the same value.
  mutating func refine(_ number: Int, _ interval: ClosedRange<Int64>) {
    registers[number & 15].kind = .guest(interval)
  }

  /// What holds when execution came from either.
  mutating func join(_ other: AbstractState) {
    lastIdentity = max(lastIdentity, other.lastIdentity)
    for number in 0..<16 where registers[number] != other.registers[number] {
      let (left, right) = (registers[number], other.registers[number])
      if let first = left.interval, let second = right.interval {
        set(number, .guest(first.hull(second)))
      } else if left.kind != right.kind {
        set(number, .mixed)
      } else {
        set(number, left.kind)
      }
    }
  }

  /// Registers that hold the guest's own and yet a host value.
  var exposed: Int? {
    (0..<16).first {
      ![
        AbstractState.scratch, AbstractState.shadowStack, AbstractState.state, AbstractState.secondScratch,
      ].contains($0) && registers[$0].isHost
    }
  }
}
