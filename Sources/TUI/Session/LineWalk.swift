// Steps by source lines, instruction by instruction: when another line has begun, and what to do with calls on the way. The same for
// programs that run and for recordings. The rules are gdb's: a line ends where a statement of another one begins; who gets into the
// middle of a line goes on to its end; functions without lines are left at once.

import VirtualMachine

struct LineWalk {
  /// What is to be done behind an instruction.
  enum Verdict: Equatable {
    case goOn
    /// Another line begins.
    case over
    /// To go on to this address, with the stack at least so high.
    case land(UInt64, UInt64)
  }

  static let problem = "no source line is known here; finish, or step by instructions"
  /// Instructions of a stub that leads to a function.
  private static let longestStub = 4

  private var line: SourceLine
  /// The code of its row, and the function with the inlined calls in it, from the outside, that the line is one of.
  private var range: Range<UInt64>
  private var chain: [Int]
  /// Where the line step ends, so many inlined calls that begin there have been entered.
  private(set) var entered = 0
  /// Calls are part of their line.
  let over: Bool
  private var code: CodeLine?
  /// A function has been entered, by so many instructions of stubs.
  private var stub: Int?
  /// The next landing is where the line step ends.
  private var endsOnLanding = false

  /// A line step of a program that stands at `address`; nil where no line is known.
  init?(_ subject: any Subject, at address: UInt64, over: Bool) {
    guard let row = subject.objects?.line(at: address) else { return nil }
    let frames = subject.framesStanding(at: address)
    line = frames.first?.line ?? row
    (range, self.over) = (row.range, over)
    chain = frames.reversed().map(\.identity)
  }

  /// The way out of the inlined call in which a program stands at `address`, to where a line begins behind it; nil where it stands in none.
  init?(_ subject: any Subject, leavingCallAt address: UInt64) {
    let frames = subject.framesStanding(at: address)
    guard frames.first?.isInlined == true,
      let any = subject.objects?.line(at: address) ?? frames.dropFirst().first?.line
    else { return nil }
    line = any
    // Whichever line is next, it is another one.
    line.line = 0
    (range, over) = (address..<address, true)
    chain = frames.dropFirst().reversed().map(\.identity)
  }

  /// The instruction that comes next; where it is over, if it is to be done at once.
  mutating func begin(_ code: CodeLine) -> UInt64? {
    self.code = code
    let isCall = code.isCall && code.target != nil || code.text.hasPrefix("call")
    if code.isCall, over || !isCall || stub != nil { return code.address &+ UInt64(code.bytes.count) }
    if isCall { stub = 0 }
    return nil
  }

  /// The program stands at `address`, with RSP as given.
  mutating func verdict(_ subject: any Subject, _ address: UInt64, _ stack: UInt64) -> Verdict {
    if endsOnLanding { return .over }
    let now = subject.objects?.line(at: address)
    if let count = stub {
      stub = nil
      if now != nil {
        let body = LineWalk.body(subject, address)
        endsOnLanding = body != address
        return endsOnLanding ? .land(body, 0) : .over
      }
      let text = CodeReading(subject).instruction(at: address)?.text ?? ""
      if count < LineWalk.longestStub,
        text.hasPrefix("endbr") || text.hasPrefix("jmp") || text.hasPrefix("bnd jmp")
      {
        stub = count + 1
        return .goOn
      }
      return leave(subject, stack)
    }
    guard let now else {
      if code?.isReturn == true { return .over }
      let function = code.flatMap { subject.objects?.symbol(at: $0.address)?.address }
      let isInside = function != nil && subject.objects?.symbol(at: address)?.address == function
      return code?.isJump == true && !isInside ? leave(subject, stack) : .goOn
    }
    if range.contains(address) { return .goOn }
    let all = subject.objects?.sourceFrames(at: address) ?? []
    let begun = all.beginningCount
    return verdict(now, address, Array(all.dropFirst(begun)), called: begun > 0 ? all[begun - 1] : nil)
  }

  /// At another row: `frames` are those around `address`, the innermost first; `called` is the inlined call that begins there.
  private mutating func verdict(
    _ now: SourceLine, _ address: UInt64, _ frames: [SourceFrame], called: SourceFrame?
  ) -> Verdict {
    let here = frames.reversed().map(\.identity)
    if here == chain, called != nil, let call = frames.first?.line {
      let isSame = call.isSameLine(line)
      // A call in the line is a part of it, or is entered; another line's is where that begins.
      if over, isSame { return .goOn }
      if isSame { entered = 1 }
      return .over
    }
    if here.count > chain.count, here.starts(with: chain), !chain.isEmpty { return over ? .goOn : .over }
    if !now.isSameLine(line), now.range.lowerBound == address {
      if now.isStatement { return .over }
      if here == chain { return .goOn }
      // Out of an inlined call, where no statement begins: the next one is another line, whichever it is.
      line.line = 0
    } else {
      line = now
    }
    (range, chain) = (now.range, here)
    return .goOn
  }

  /// Out of a function that has just been entered.
  private func leave(_ subject: any Subject, _ stack: UInt64) -> Verdict {
    subject.word(at: stack).map { .land($0, stack &+ 8) } ?? .goOn
  }

  /// Where the body of the function at `address` begins: behind the instructions that set up a frame, where the next row of its line
  /// table is.
  static func body(_ subject: any Subject, _ address: UInt64) -> UInt64 {
    var bytes = subject.bytes(at: address, count: 8)
    let endbr: [UInt8] = [0xf3, 0x0f, 0x1e, 0xfa]
    let hasMark = bytes.starts(with: endbr)
    if hasMark { bytes.removeFirst(4) }
    // push rbp; mov rbp, rsp
    let hasFrame =
      bytes.starts(with: [0x55, 0x48, 0x89, 0xe5]) || bytes.starts(with: [0x55, 0x48, 0x8b, 0xec])
    guard hasMark || hasFrame, let line = subject.objects?.line(at: address),
      line.range.lowerBound == address, line.range.upperBound != address,
      subject.objects?.line(at: line.range.upperBound) != nil,
      subject.objects?.symbol(at: line.range.upperBound)?.address
        == subject.objects?.symbol(at: address)?.address
    else { return address }
    return line.range.upperBound
  }
}
