// The terminal that the guest has: a pseudo-terminal of the kernel's, whose other side is an emulator. Made before the machine begins,
// in a process that is the leader of a session of its own: so job control works inside, and signals of the outer terminal stay outside.

public final class GuestTerminal {
  /// Our side; -1 when there is none.
  private(set) var descriptor: Int32
  private(set) var emulator = TerminalEmulator(width: 80, height: 24)
  private var parser = EscapeParser()
  /// Bytes that the guest has not taken yet.
  private var waiting: [UInt8] = []
  private static let mostWaiting = 1 << 16
  /// Where a copy of what the guest writes goes; -1: nowhere.
  private var copy: Int32 = -1
  /// Changes whenever the screen may have.
  private(set) var changes = 0

  private init(descriptor: Int32) { self.descriptor = descriptor }

  /// A screen without a program behind it: for what a program has written once.
  init() { descriptor = -1 }

  /// The screen as it was before anything was written.
  func clear() {
    emulator = TerminalEmulator(width: emulator.width, height: emulator.height)
    parser = EscapeParser()
    changes += 1
  }

  /// What a program wrote in the past; nobody waits for answers.
  func show(_ bytes: [UInt8]) {
    parser.take(bytes, &emulator)
    emulator.answers = []
    changes += 1
  }

  /// Makes one and gives it to this process as terminal and standard streams; nil when the host has none to give.
  public static func becomeOurs() -> GuestTerminal? {
    let ours = System.open("/dev/ptmx", flags: 0o400 | 2)
    if ours < 0 { return nil }
    var unlock = [UInt8](repeating: 0, count: 4)
    guard System.control(ours, 0x4004_5431, &unlock) == 0 else { return nil }  // TIOCSPTLCK
    let theirs = System.call(16, Int64(ours), 0x5441, 0o400 | 2)  // TIOCGPTPEER
    if theirs < 0 { return nil }
    _ = System.call(112)  // setsid
    _ = System.call(16, theirs, 0x540e, 0)  // TIOCSCTTY
    for standard in 0..<3 { _ = System.call(33, theirs, Int64(standard)) }
    if theirs > 2 { System.close(Int32(truncatingIfNeeded: theirs)) }
    // Typing ahead must not make us wait.
    _ = System.call(72, Int64(ours), 4, 0o4002)
    System.setTerminalSize(ours, width: 80, height: 24)
    return GuestTerminal(descriptor: ours)
  }

  /// Copies what the guest writes to a descriptor, with plain line ends.
  public func copyOutput(to descriptor: Int32) { copy = descriptor }

  /// Writes what is waiting to a descriptor.
  public func drain(to place: Int32) {
    while System.wait([descriptor], milliseconds: 0)[0], let bytes = System.read(descriptor), !bytes.isEmpty {
      System.write(bytes.filter { $0 != 13 }, to: place)
    }
  }

  /// Moves our side, and the copy, to other descriptors.
  func move(_ place: (Int32) -> Int32) {
    descriptor = place(descriptor)
    if copy >= 0 { copy = place(copy) }
  }

  func closeOurSide() { descriptor = -1 }

  /// Takes what the guest has written; false when nobody has the other side any more.
  func receive() -> Bool {
    guard let bytes = System.read(descriptor) else { return false }
    if bytes.isEmpty { return true }
    if copy >= 0 { System.write(bytes.filter { $0 != 13 }, to: copy) }
    parser.take(bytes, &emulator)
    changes += 1
    if !emulator.answers.isEmpty {
      let answers = emulator.answers
      emulator.answers = []
      type(answers)
    }
    return true
  }

  /// Types bytes; what the guest does not take now it gets later.
  func type(_ bytes: [UInt8]) {
    guard descriptor >= 0, waiting.count + bytes.count <= GuestTerminal.mostWaiting else { return }
    waiting += bytes
    flush()
  }

  func flush() {
    if waiting.isEmpty || descriptor < 0 { return }
    waiting.removeFirst(System.write(waiting, to: descriptor))
  }

  var isHeldUp: Bool { !waiting.isEmpty }

  func resize(width: Int, height: Int) {
    if emulator.width == width, emulator.height == height { return }
    emulator.resize(width: width, height: height)
    if descriptor >= 0 { System.setTerminalSize(descriptor, width: emulator.width, height: emulator.height) }
    changes += 1
  }
}
