// What is known of one host register while emitted code is followed: two intervals of numbers, or which of the translator's
// own values it is. Plain values.
//
// Why two intervals: an access to memory proves where its address was, but only once it has been retired. `actual` is what
// the number is when everything before has been done. `ahead` is what it may be while the processor runs ahead of accesses
// that will fault; there no access proves anything. Small constant steps do not move `ahead`: a processor runs at most
// `window` instructions ahead, so whoever uses `ahead` adds `reach` to both sides instead (Docs/translator-guard.md).

/// The knowledge about one register.
struct AbstractValue: Equatable {
  enum Kind: Equatable {
    /// A number of the guest's: modulo 2^64 one of this interval, `actual`.
    case guest(ClosedRange<Int128>)
    /// The number with this identity and offset, shifted right by 60.
    case topBits(of: Int, offset: Int64)
    /// The pinned pointer to the CPU state; the shadow stack's pointer.
    case state, shadowStack
    /// The window's host address, and its negative.
    case window, negativeWindow
    /// The window's address plus a number of this interval.
    case hostPointer(ClosedRange<Int128>)
    /// A host address from the table of indirect entries.
    case indirectEntry
    /// The host address of a place in this piece of code where nothing is known but what holds at the beginning of blocks.
    case continuation
    /// One thing on one path, another on another, and at least one of them not the guest's.
    case mixed
  }

  var kind: Kind
  /// Registers of one identity differ by constants: each is the same unknown number plus its offset, modulo 2^64.
  var identity: Int
  var offset: Int64 = 0
  /// Contains `actual`.
  var ahead: ClosedRange<Int128> = AbstractValue.everything
  /// Small constants have been added that `ahead` does not contain.
  var walks = false

  init(_ kind: Kind, identity: Int) {
    (self.kind, self.identity) = (kind, identity)
    ahead = interval ?? AbstractValue.everything
  }

  /// Numbers count modulo 2^64, so no larger interval says anything.
  static let everything: ClosedRange<Int128> = -(1 << 66)...(1 << 66)
  /// What the guard leaves: numbers below 2^60.
  static let guarded: ClosedRange<Int128> = 0...(1 << 60 - 1)
  static let unsigned32: ClosedRange<Int128> = 0...0xffff_ffff
  static let inWindow: ClosedRange<Int128> = 0...(1 << 47 - 1)
  static let signed32: ClosedRange<Int128> = -0x8000_0000...0x7fff_ffff

  /// The largest step that counts as small (1 MiB, with what PUSH and POP have counted), instructions that a processor runs ahead at most, and how far steps get then.
  static let smallStep: Int64 = 1 << 20 + 1 << 17
  static let window: Int64 = 512
  static let reach = window * smallStep

  var interval: ClosedRange<Int128>? {
    switch kind {
    case .guest(let interval): interval
    case .topBits: 0...15
    default: nil
    }
  }

  /// All that the number may be at any time, also when the processor runs ahead.
  var everAhead: ClosedRange<Int128> {
    ahead.widened(by: walks ? Int128(AbstractValue.reach) : 0)
  }

  /// Whether it is certainly in `range`, at any time.
  func isAlways(in range: ClosedRange<Int128>) -> Bool {
    guard let interval else { return false }
    return !walks && range.contains(interval) && range.contains(ahead)
  }

  /// A host address or something made of one: the guest must never see it.
  var isHost: Bool { interval == nil }

  /// The number plus a constant.
  func stepped(by distance: Int64) -> AbstractValue {
    guard let interval else { return self }
    var value = self
    value.offset = offset &+ distance
    let moved = Int128(distance)...Int128(distance)
    let actual = interval + moved
    value.kind = .guest(actual)
    if distance.magnitude <= AbstractValue.smallStep.magnitude {
      (value.ahead, value.walks) = (ahead.hull(actual), true)
    } else {
      (value.ahead, value.walks) = (everAhead + moved, false)
    }
    if !AbstractValue.everything.contains(actual) { value.kind = .guest(AbstractValue.everything) }
    if !AbstractValue.everything.contains(value.ahead) { value.ahead = AbstractValue.everything }
    return value
  }

  /// What holds when it came from either; the identity is the caller's business.
  func joined(_ other: AbstractValue, identity: Int) -> AbstractValue {
    guard let first = interval, let second = other.interval else {
      return AbstractValue(kind == other.kind ? kind : .mixed, identity: identity)
    }
    var value = AbstractValue(.guest(first.hull(second)), identity: identity)
    value.ahead = ahead.hull(other.ahead)
    value.walks = walks || other.walks
    return value
  }

  /// Whether everything that `other` may be is among what this may be, identities aside.
  func includes(_ other: AbstractValue) -> Bool {
    guard let interval else { return kind == .mixed || kind == other.kind }
    guard let actual = other.interval else { return false }
    return interval.contains(actual) && ahead.contains(other.ahead) && (walks || !other.walks)
  }
}

extension ClosedRange<Int128> {
  static func + (left: Self, right: Self) -> Self {
    left.lowerBound + right.lowerBound...left.upperBound + right.upperBound
  }

  static func - (left: Self, right: Self) -> Self {
    left.lowerBound - right.upperBound...left.upperBound - right.lowerBound
  }

  static func << (left: Self, count: Int) -> Self { left.lowerBound << count...left.upperBound << count }

  func hull(_ other: Self) -> Self {
    Swift.min(lowerBound, other.lowerBound)...Swift.max(upperBound, other.upperBound)
  }

  func contains(_ other: Self) -> Bool {
    lowerBound <= other.lowerBound && other.upperBound <= upperBound
  }

  /// As much more than `old` as a loop may need at most: what grew goes to the next of a few bounds, so that an invariant is
  /// found in few passes; nil when there is none.
  func widened(since old: Self) -> Self? {
    let low = lowerBound < old.lowerBound ? Self.lowBounds.first { $0 <= lowerBound } : lowerBound
    let high = upperBound > old.upperBound ? Self.highBounds.first { $0 >= upperBound } : upperBound
    guard let low, let high else { return nil }
    return low...high
  }

  private static let lowBounds: [Int128] = [
    -(1 << 25), -(1 << 29 + 1 << 28), -(1 << 30 + 1 << 29), -(1 << 31 + 1 << 30), -(1 << 33), -(1 << 34),
    -(1 << 35 + 1 << 33), -(1 << 35 + 1 << 34),
  ]
  private static let highBounds: [Int128] = [
    1 << 33, 1 << 47 + 1 << 33, 1 << 60 + 1 << 33, 1 << 63 + 1 << 61 + 1 << 37,
  ]

  func widened(by distance: Int128) -> Self { lowerBound - distance...upperBound + distance }
}
