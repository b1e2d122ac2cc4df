// What is known of all registers at one place of emitted code, and of the sums that memory operands are made of. Guest
// registers that live in the CPU state are followed as well, as registers 16 to 19.

/// What is known of the sum of two registers, the second one shifted: an operand's address without its displacement, modulo
/// 2^64. Two registers may each move far while their sum does not, so the sum is followed by itself.
struct AbstractSum {
  /// 255: none.
  var base: Int
  var index: Int
  var scale: Int
  /// As of an `AbstractValue`; whoever uses `ahead` adds `reach`.
  var actual: ClosedRange<Int128>
  var ahead: ClosedRange<Int128>

  static let reach = 9 * Int128(AbstractValue.reach)

  func names(_ register: Int) -> Bool { base == register || index == register }
  func isSum(_ other: AbstractSum) -> Bool {
    base == other.base && index == other.index && scale == other.scale
  }
}

/// A register was computed as a sum: what an access proves of it is proven of the sum. By identities and offsets, so it
/// stays true when registers change.
struct AbstractDefinition {
  var result: Int
  var base: (identity: Int, offset: Int64)
  var index: (identity: Int, offset: Int64)
  var scale: Int
  var displacement: Int64
}

/// What is known at one place.
struct AbstractState {
  /// The guest's stack pointer wherever a block is entered or left for another (X64/StackTemplates.swift), and what it is
  /// within blocks, where up to 64 small steps may come before the access that proves them.
  static let stackInvariant: ClosedRange<Int128> = -(1 << 32)...(1 << 60 + 1 << 32)
  static let stackAhead: ClosedRange<Int128> = -(1 << 32 + 1 << 27)...(1 << 60 + 1 << 32 + 1 << 27)
  static let scratch = 1, shadowStack = 4, state = 5, secondScratch = 12, guestStack = 15
  /// The first register in the CPU state, and how many there are altogether.
  static let firstInState = 16, count = 20
  static let none = 255

  private(set) var registers: [AbstractValue] = []
  private(set) var sums: [AbstractSum] = []
  private var definitions: [AbstractDefinition] = []
  private var lastIdentity = AbstractState.count

  /// What holds at the beginning of every block: guest registers hold anything, the stack pointer keeps its invariant.
  init() {
    for number in 0..<AbstractState.count {
      let kind: AbstractValue.Kind =
        switch number {
        case AbstractState.shadowStack: .shadowStack
        case AbstractState.state: .state
        case AbstractState.guestStack: .guest(AbstractState.stackInvariant)
        default: .guest(AbstractValue.everything)
        }
      registers.append(AbstractValue(kind, identity: number))
    }
    registers[AbstractState.guestStack].ahead = AbstractState.stackAhead
    registers[AbstractState.guestStack].walks = true
  }

  subscript(number: Int) -> AbstractValue { registers[number] }

  // MARK: Writes

  /// The register gets a number of its own. `ahead`: nil when it does not depend on what accesses prove.
  mutating func set(_ number: Int, _ kind: AbstractValue.Kind, ahead: ClosedRange<Int128>? = nil) {
    lastIdentity += 1
    registers[number] = AbstractValue(kind, identity: lastIdentity)
    if let ahead { registers[number].ahead = ahead }
    if !sums.isEmpty { sums.removeAll { $0.names(number) } }
  }

  /// The register gets the very number of another.
  mutating func copy(_ number: Int, from source: Int) {
    if number == source { return }
    registers[number] = registers[source]
    if sums.isEmpty { return }
    sums.removeAll { $0.names(number) }
    for sum in sums where sum.names(source) {
      var copy = sum
      if sum.base == source {
        copy.base = number
        sums.append(copy)
      }
      if sum.index == source {
        copy.index = number
        sums.append(copy)
        copy.base = sum.base
        if sum.base == source { sums.append(copy) }
      }
    }
  }

  /// A constant is added to the register.
  mutating func step(_ number: Int, by distance: Int64) {
    registers[number] = registers[number].stepped(by: distance)
    for place in sums.indices where sums[place].names(number) {
      var total: Int128 = sums[place].base == number ? Int128(distance) : 0
      if sums[place].index == number { total += Int128(distance) << sums[place].scale }
      sums[place].actual = sums[place].actual + (total...total)
      if distance.magnitude <= AbstractValue.smallStep.magnitude {
        sums[place].ahead = sums[place].ahead.hull(sums[place].actual)
      } else {
        sums[place].ahead = sums[place].ahead.widened(by: AbstractSum.reach) + (total...total)
      }
    }
  }

  /// The register becomes the sum of two registers and a constant.
  mutating func define(_ number: Int, _ sum: AbstractSum, _ displacement: Int64, ever: ClosedRange<Int128>) {
    let distance = Int128(displacement)...Int128(displacement)
    var definition: AbstractDefinition?
    if sum.base != AbstractState.none, sum.index != AbstractState.none {
      let (base, index) = (registers[sum.base], registers[sum.index])
      definition = AbstractDefinition(
        result: 0, base: (base.identity, base.offset), index: (index.identity, index.offset),
        scale: sum.scale, displacement: displacement)
    }
    set(number, .guest(sum.actual + distance), ahead: ever + distance)
    definition?.result = lastIdentity
    if let definition { definitions = definitions.suffix(3) + [definition] }
  }

  // MARK: Sums

  /// Base, index and scale as a sum of which only the registers' own intervals tell. Nil when one of them is no number.
  func sum(_ base: Int, _ index: Int, _ scale: Int) -> (sum: AbstractSum, ever: ClosedRange<Int128>)? {
    var sum = AbstractSum(base: base, index: index, scale: scale, actual: 0...0, ahead: 0...0)
    var ever: ClosedRange<Int128> = 0...0
    for (number, shift) in [(base, 0), (index, scale)] where number != AbstractState.none {
      guard case .guest(let actual) = registers[number].kind else { return nil }
      sum.actual = sum.actual + actual << shift
      sum.ahead = sum.ahead + registers[number].ahead << shift
      ever = ever + registers[number].everAhead << shift
    }
    return (sum, ever)
  }

  /// What was proven of the very sum.
  func known(_ base: Int, _ index: Int, _ scale: Int) -> AbstractSum? {
    sums.first { $0.base == base && $0.index == index && $0.scale == scale }
  }

  /// An access has shown the sum of base and index to be in `proven`. `own`: what the intervals of the two tell of it.
  mutating func prove(_ sum: AbstractSum, in proven: ClosedRange<Int128>, own: ClosedRange<Int128>) {
    var sum = sum
    let actual = sum.actual.clamped(to: proven)
    sum.actual = actual
    refineParts(of: sum, own)
    if sum.index == AbstractState.none { return proveDefinition(sum.base, actual) }
    for base in relatives(of: sum.base) {
      for index in relatives(of: sum.index) { note(sum, actual, base, index) }
    }
  }

  /// Register `number` has been shown to be in `proven`: so has the sum that it was computed as.
  private mutating func proveDefinition(_ number: Int, _ proven: ClosedRange<Int128>) {
    let value = registers[number]
    for definition in definitions where definition.result == value.identity {
      let constant = Int128(value.offset) + Int128(definition.displacement)
      for base in 0..<AbstractState.count where registers[base].identity == definition.base.identity {
        for index in 0..<AbstractState.count where registers[index].identity == definition.index.identity {
          guard let own = sum(base, index, definition.scale)?.sum else { continue }
          var sum = known(base, index, definition.scale) ?? own
          let moved =
            Int128(registers[base].offset) - Int128(definition.base.offset)
            + (Int128(registers[index].offset) - Int128(definition.index.offset)) << definition.scale
          sum.actual = proven + (moved - constant...moved - constant)
          refineParts(of: sum, own.actual)
          sum.ahead = sum.ahead.hull(sum.actual)
          sums.removeAll { $0.isSum(sum) }
          if AbstractValue.everything.contains(sum.ahead) { sums.append(sum) }
        }
      }
    }
  }

  /// Each part of a sum is the sum less the other one.
  private mutating func refineParts(of sum: AbstractSum, _ own: ClosedRange<Int128>) {
    // Numbers are known modulo 2^64: only in a smaller range they are the same ones.
    let both = own.hull(sum.actual)
    let base = sum.base == AbstractState.none ? 0...0 : registers[sum.base].interval
    let index = sum.index == AbstractState.none ? 0...0 : registers[sum.index].interval
    guard both.upperBound - both.lowerBound < 1 << 64, let base, let index else { return }
    if sum.base != AbstractState.none { refine(sum.base, sum.actual - index << sum.scale) }
    if sum.index == AbstractState.none { return }
    let rest = sum.actual - base
    refine(sum.index, (rest.lowerBound >> sum.scale)...(rest.upperBound >> sum.scale))
  }

  /// Everything whose difference from register `number` is known: the registers of its identity.
  private func relatives(of number: Int) -> [Int] {
    if number == AbstractState.none { return [number] }
    return (0..<AbstractState.count).filter {
      !registers[$0].isHost && registers[$0].identity == registers[number].identity
    }
  }

  private func difference(_ number: Int, _ other: Int) -> Int128 {
    number == AbstractState.none ? 0 : Int128(registers[number].offset) - Int128(registers[other].offset)
  }

  private mutating func note(_ sum: AbstractSum, _ actual: ClosedRange<Int128>, _ base: Int, _ index: Int) {
    let distance = difference(base, sum.base) + difference(index, sum.index) << sum.scale
    var relative = sum
    (relative.base, relative.index) = (base, index)
    relative.actual = actual + (distance...distance)
    relative.ahead = (sum.ahead + (distance...distance)).hull(relative.actual)
    if let place = sums.firstIndex(where: { $0.isSum(relative) }) {
      // What may come ahead does not become less by an access.
      sums[place].actual = relative.actual
      sums[place].ahead = sums[place].ahead.hull(relative.actual)
    } else if AbstractValue.everything.contains(relative.ahead) {
      sums.append(relative)
    }
  }

  /// More is known of a register, and of all that differ from it by constants.
  private mutating func refine(_ number: Int, _ proven: ClosedRange<Int128>) {
    for other in relatives(of: number) {
      guard case .guest(let actual) = registers[other].kind else { continue }
      let distance = difference(other, number)
      let better = proven + (distance...distance)
      // Numbers are known modulo 2^64: only in a smaller range they are the same ones.
      let both = better.hull(actual)
      let refined = both.upperBound - both.lowerBound < 1 << 64 ? actual.clamped(to: better) : better
      if registers[other].ahead.contains(refined) { registers[other].kind = .guest(refined) }
    }
  }

  // MARK: Paths that meet

  /// What holds when execution came from either.
  mutating func join(_ other: AbstractState) {
    lastIdentity = max(lastIdentity, other.lastIdentity)
    // Identities may mean something else on the other side.
    definitions = []
    let joined = joinedSums(other)
    /// Registers of one identity on both sides, at the same distance, are of one identity afterwards.
    var classes: [(left: Int, right: Int, distance: Int64, identity: Int)] = []
    for number in 0..<AbstractState.count where registers[number] != other.registers[number] {
      let (left, right) = (registers[number], other.registers[number])
      let distance = left.offset &- right.offset
      var identity = left.identity
      if left.identity != right.identity || distance != 0 {
        let known = classes.first {
          $0.left == left.identity && $0.right == right.identity && $0.distance == distance
        }
        identity = known?.identity ?? lastIdentity + 1
        if known == nil {
          lastIdentity += 1
          classes.append((left.identity, right.identity, distance, identity))
        }
      }
      registers[number] = left.joined(right, identity: identity)
      registers[number].offset = right.offset
    }
    sums = joined
  }

  private func joinedSums(_ other: AbstractState) -> [AbstractSum] {
    var joined: [AbstractSum] = []
    for sum in sums + other.sums where !joined.contains(where: { $0.isSum(sum) }) {
      let (base, index, scale) = (sum.base, sum.index, sum.scale)
      guard let left = known(base, index, scale) ?? self.sum(base, index, scale)?.sum,
        let right = other.known(base, index, scale) ?? other.sum(base, index, scale)?.sum
      else { continue }
      var both = left
      both.actual = left.actual.hull(right.actual)
      both.ahead = left.ahead.hull(right.ahead)
      if AbstractValue.everything.contains(both.ahead) { joined.append(both) }
    }
    return joined
  }

  // MARK: Loops

  /// At a loop's head nothing is remembered of half-finished guards.
  mutating func forgetCounts() {
    definitions = []
    for number in 0..<AbstractState.count {
      if case .topBits = registers[number].kind { set(number, .guest(0...15)) }
    }
  }

  /// Whether everything that holds here also holds in `other`.
  func includes(_ other: AbstractState) -> Bool {
    for number in 0..<AbstractState.count {
      if !registers[number].includes(other.registers[number]) { return false }
      for second in 0..<number
      where !registers[number].isHost && registers[number].identity == registers[second].identity {
        let (left, right) = (other.registers[number], other.registers[second])
        let distance = registers[number].offset &- registers[second].offset
        if left.identity != right.identity || left.offset &- right.offset != distance { return false }
      }
    }
    return sums.allSatisfy { sum in
      let (base, index, scale) = (sum.base, sum.index, sum.scale)
      guard let now = other.known(base, index, scale) ?? other.sum(base, index, scale)?.sum else {
        return false
      }
      return sum.actual.contains(now.actual) && sum.ahead.contains(now.ahead)
    }
  }

  /// Generalises what has become more since `old`.
  mutating func widen(since old: AbstractState) {
    for number in 0..<AbstractState.count where !old.registers[number].includes(registers[number]) {
      guard let interval = registers[number].interval, let before = old.registers[number].interval else {
        continue
      }
      let actual = interval.widened(since: before)
      let ahead = registers[number].ahead.widened(since: old.registers[number].ahead)
      registers[number].kind = .guest(actual ?? AbstractValue.everything)
      registers[number].ahead = actual.flatMap { ahead?.hull($0) } ?? AbstractValue.everything
    }
    sums = sums.compactMap { sum in
      guard let before = old.known(sum.base, sum.index, sum.scale),
        let actual = sum.actual.widened(since: before.actual),
        let ahead = sum.ahead.widened(since: before.ahead)
      else { return nil }
      var wider = sum
      (wider.actual, wider.ahead) = (actual, ahead.hull(actual))
      return wider
    }
  }

  /// Registers that hold the guest's own and yet a host value.
  var exposed: Int? {
    (0..<AbstractState.firstInState).first {
      ![
        AbstractState.scratch, AbstractState.shadowStack, AbstractState.state, AbstractState.secondScratch,
      ].contains($0) && registers[$0].isHost
    }
  }
}
