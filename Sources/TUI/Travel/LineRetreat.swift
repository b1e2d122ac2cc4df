// Steps back by source lines: the mirror image of LineWalk. Instructions come in the opposite order; a line ends backwards where the
// instruction before belongs to another one, and calls, inlined ones as well, are parts of the line that has them, or are gone into from
// their ends. Out of the first line of an inlined call the way leads to where that was about to be made, without any instruction.

import VirtualMachine

struct LineRetreat {
  /// What lies between two instructions.
  enum Crossing {
    case within
    /// The one before is the end of a function that has returned.
    case intoFunction
    /// The one before has called the function.
    case outOfFunction
  }

  /// The function, and the inlined calls in it, from the outside, that the line is one of.
  private var frames: [SourceFrame]
  /// The line that is gone back to the beginning of; nil until an instruction tells.
  private var line: SourceLine?
  private let over: Bool
  private var hasMoved = false

  /// A step back of a program that stands at `address`; nil where no line is known.
  init?(_ subject: any Subject, at address: UInt64, over: Bool) {
    guard let row = subject.objects?.line(at: address) else { return nil }
    let standing = subject.framesStanding(at: address)
    frames = standing.reversed()
    self.over = over
    let isAhead = standing.count < subject.objects?.sourceFrames(at: address).count ?? 0
    let isBeginning = !isAhead && row.isStatement && row.range.lowerBound == address
    line = isBeginning ? nil : standing.first?.line ?? row
  }

  /// The instruction at `before` came before the one at `here`: in how many of the frames there the line has begun, or nil if it goes on.
  mutating func verdict(
    _ subject: any Subject, before: UInt64, here: UInt64, _ crossing: Crossing
  ) -> Int? {
    let row = subject.objects?.line(at: before)
    let inner = LineRetreat.frames(subject, before)
    if let row, crossing == .intoFunction {
      // The call instruction may be outside inlined calls that begin behind it.
      return leave(subject, LineRetreat.frames(subject, here &- 1), here) ?? enter(subject, inner, row, here)
    }
    if let row, crossing == .outOfFunction {
      // An inlined call may begin where the function does.
      if line == nil || !hasMoved, frames.count > 1 { leaveOne() }
      if line != nil, hasMoved { return frames.count }
      (frames, line, hasMoved) = (inner, row, true)
      return nil
    }
    if let depth = leave(subject, inner, here) { return depth }
    guard let row else {
      // Of instructions between lines the compiler says nothing.
      return line != nil && hasMoved && canBegin(subject, here) ? frames.count : nil
    }
    if !over, !frames.isEmpty, inner.count > frames.count { return enter(subject, inner, row, here) }
    return verdict(subject, before, here, inner, row)
  }

  private static func frames(_ subject: any Subject, _ address: UInt64) -> [SourceFrame] {
    (subject.objects?.sourceFrames(at: address) ?? []).reversed()
  }

  /// Out of the inlined calls that are not among those of the instruction before: each was about to be made at a line of what is around it.
  private mutating func leave(_ subject: any Subject, _ inner: [SourceFrame], _ here: UInt64) -> Int? {
    while !frames.isEmpty, !inner.isEmpty, !inner.map(\.identity).starts(with: frames.map(\.identity)) {
      if line != nil, hasMoved, canStand(subject, here) { return frames.count }
      leaveOne()
    }
    return nil
  }

  private mutating func leaveOne() {
    frames.removeLast()
    (line, hasMoved) = (frames.last?.line, true)
  }

  /// From its end into a call; but where that has come back to, a line may have begun.
  private mutating func enter(
    _ subject: any Subject, _ inner: [SourceFrame], _ row: SourceLine, _ here: UInt64
  ) -> Int? {
    if hasMoved, canBegin(subject, here) { return frames.count }
    (frames, line, hasMoved) = (inner, row, true)
    return nil
  }

  /// In the same frame, or in an inlined call that is a part of its line.
  private mutating func verdict(
    _ subject: any Subject, _ before: UInt64, _ here: UInt64, _ inner: [SourceFrame], _ row: SourceLine
  ) -> Int? {
    let depth = frames.count
    let isCall = depth > 0 && inner.count > depth
    let outer = isCall ? inner[depth - 1].line ?? row : row
    if let known = line, !outer.isSameLine(known) {
      if hasMoved, canBegin(subject, here) { return depth }
      // It has begun where no statement does: that is no line of its own.
      line = nil
    }
    if line == nil, !LineRetreat.isSettingUp(subject, before) { line = outer }
    frames = isCall ? Array(inner.prefix(depth)) : inner
    hasMoved = true
    return nil
  }

  /// Whether a program at `here` can stand in the frames of the line: of others only calls begin there that have not been made.
  private func canStand(_ subject: any Subject, _ here: UInt64) -> Bool {
    let all = subject.objects?.sourceFrames(at: here) ?? []
    return all.count - frames.count <= all.beginningCount
  }

  /// The same, where a line begins: with a statement, or with an inlined call that is about to be made.
  private func canBegin(_ subject: any Subject, _ here: UInt64) -> Bool {
    guard let row = subject.objects?.line(at: here), row.range.lowerBound == here else { return false }
    return canStand(subject, here)
      && (row.isStatement || frames.count < LineRetreat.frames(subject, here).count)
  }

  /// A statement begins at `address`.
  static func isBeginning(_ subject: any Subject, _ address: UInt64) -> Bool {
    subject.objects?.line(at: address).map { $0.isStatement && $0.range.lowerBound == address } ?? false
  }

  /// In front of the body of its function.
  private static func isSettingUp(_ subject: any Subject, _ address: UInt64) -> Bool {
    guard let function = subject.objects?.symbol(at: address)?.address else { return false }
    return address < LineWalk.body(subject, function)
  }
}
