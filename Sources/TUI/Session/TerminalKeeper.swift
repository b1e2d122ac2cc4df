// The process that stays outside: it starts the session in a child of its own, and puts the terminal back when the child is gone,
// whatever it died of. Signals of the terminal and of whoever wants us to end arrive here; the child has a session of its own, so that
// they do not reach the guest.

import CHost

public enum TerminalKeeper {
  private static let windowChanged: Int32 = 28
  private static let child: Int32 = 17
  /// HUP INT QUIT TERM: we are to end.
  private static let ends: [Int32] = [1, 2, 3, 15]

  /// Calls `session` in a child with its end of a channel, and waits for its end; the exit code. Nil when there can be no child.
  public static func keep(_ screen: Int32, _ session: (_ notices: Int32) -> Int32) -> Int32? {
    let settings = System.terminalSettings(screen)
    var ends: [Int32] = [-1, -1]
    // socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
    let made = ends.withUnsafeMutableBytes {
      System.call(53, 1, 1 | 0x80000, 0, System.pointer(UnsafeRawBufferPointer($0)))
    }
    guard made == 0 else { return nil }
    let before = setMask(block: true, [windowChanged, child] + TerminalKeeper.ends)
    let number = System.call(57)
    if number < 0 { return nil }
    if number == 0 {
      vt_thread_forget()
      restoreMask(before)
      System.close(ends[0])
      // With its keeper it dies, too: PR_SET_PDEATHSIG.
      _ = System.call(157, 1, 9)
      System.exit(session(ends[1]))
    }
    System.close(ends[1])
    return wait(for: number, screen, settings, notices: ends[0])
  }

  private static func setMask(block: Bool, _ signals: [Int32]) -> UInt64 {
    let set: [UInt64] = [signals.reduce(0) { $0 | 1 << UInt64($1 - 1) }]
    var old: [UInt64] = [0]
    set.withUnsafeBytes { new in
      old.withUnsafeMutableBytes { old in
        _ = System.call(
          14, block ? 0 : 1, System.pointer(new), System.pointer(UnsafeRawBufferPointer(old)), 8)
      }
    }
    return old[0]
  }

  private static func restoreMask(_ mask: UInt64) {
    let set: [UInt64] = [mask]
    _ = set.withUnsafeBytes { System.call(14, 2, System.pointer($0), 0, 8) }
  }

  private static func wait(for number: Int64, _ screen: Int32, _ settings: [UInt8]?, notices: Int32) -> Int32
  {
    let wanted: [UInt64] = [([windowChanged, child] + ends).reduce(0) { $0 | 1 << UInt64($1 - 1) }]
    while true {
      let signal = Int32(
        truncatingIfNeeded: wanted.withUnsafeBytes { System.call(128, System.pointer($0), 0, 0, 8) })
      switch signal {
      case windowChanged: System.write([1], to: notices)
      case child:
        if let code = collect(number) {
          restore(screen, settings, notices)
          return code
        }
      case _ where ends.contains(signal):
        _ = System.call(62, number, 9)
        while collect(number, waits: true) == nil {}
        restore(screen, settings, notices)
        die(of: signal)
      default: break
      }
    }
  }

  /// The child's exit code, when it has ended. A child that a guest has stopped goes on.
  private static func collect(_ number: Int64, waits: Bool = false) -> Int32? {
    var status: [Int32] = [0]
    let flags: Int64 = waits ? 0 : 3  // WNOHANG | WUNTRACED
    let result = status.withUnsafeMutableBytes {
      System.call(61, number, System.pointer(UnsafeRawBufferPointer($0)), flags)
    }
    if result == -10 { return 125 }
    guard result == number else { return nil }
    if status[0] & 0xff == 0x7f {
      _ = System.call(62, number, 18)
      return nil
    }
    let signal = status[0] & 0x7f
    return signal == 0 ? status[0] >> 8 & 0xff : 128 + signal
  }

  private static func restore(_ screen: Int32, _ settings: [UInt8]?, _ notices: Int32) {
    let hasBegun = System.wait([notices], milliseconds: 0)[0] && System.read(notices)?.isEmpty == false
    if hasBegun { System.write(Array(ScreenFace.leave.utf8), to: screen) }
    if let settings { System.setTerminal(screen, settings) }
  }

  /// As if nobody had caught it.
  private static func die(of signal: Int32) -> Never {
    var action = [UInt8](repeating: 0, count: 32)
    action.withUnsafeMutableBytes {
      _ = System.call(13, Int64(signal), System.pointer(UnsafeRawBufferPointer($0)), 0, 8)
    }
    _ = System.call(62, System.call(39), Int64(signal))
    _ = setMask(block: false, [signal])
    System.exit(128 + signal)
  }
}
