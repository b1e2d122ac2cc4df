// The choke point to the host kernel. Every host call of the personality goes through one object of this class, so that
// tests and the recorder can stand in for it: time, randomness and process ids enter only here. It holds no state but who waits.
import CHost

/// The host as the personality sees it. Results are the kernel's: a value, or -errno.
open class Host {
  /// Whose threads use the host.
  var threads: ThreadSwitch?

  public init() {}

  /// A host system call that does not wait for anything.
  open func call(
    _ number: Int64, _ a: UInt64 = 0, _ b: UInt64 = 0, _ c: UInt64 = 0, _ d: UInt64 = 0, _ e: UInt64 = 0,
    _ f: UInt64 = 0
  ) -> Int64 {
    vt_syscall6(
      number, Int64(bitPattern: a), Int64(bitPattern: b), Int64(bitPattern: c), Int64(bitPattern: d),
      Int64(bitPattern: e), Int64(bitPattern: f))
  }

  /// A host system call that may wait; other threads go on. A signal for the guest ends it with -EINTR; with `VT_NOT_STARTED` when it came
  /// first.
  open func callWaiting(
    _ number: Int64, _ a: UInt64 = 0, _ b: UInt64 = 0, _ c: UInt64 = 0, _ d: UInt64 = 0, _ e: UInt64 = 0,
    _ f: UInt64 = 0
  ) -> Int64 {
    func call() -> Int64 {
      vt_signal_call(
        number, Int64(bitPattern: a), Int64(bitPattern: b), Int64(bitPattern: c), Int64(bitPattern: d),
        Int64(bitPattern: e), Int64(bitPattern: f))
    }
    return threads?.wait(call) ?? call()
  }

  /// Memory that forked children share; nil when there is none.
  final func sharedMemory(_ size: UInt64) -> UnsafeMutableRawPointer? {
    let (readWrite, sharedAnonymous): (UInt64, UInt64) = (3, 0x21)
    let place = call(9, 0, size, readWrite, sharedAnonymous, .max, 0)
    return place > 0 ? UnsafeMutableRawPointer(bitPattern: UInt(truncatingIfNeeded: place)) : nil
  }

  /// Repeats a call that signals interrupted; for Vitrine's own needs.
  public final func callUninterrupted(
    _ number: Int64, _ a: UInt64 = 0, _ b: UInt64 = 0, _ c: UInt64 = 0, _ d: UInt64 = 0, _ e: UInt64 = 0,
    _ f: UInt64 = 0
  ) -> Int64 {
    while true {
      let result = call(number, a, b, c, d, e, f)
      if result != -4 { return result }
    }
  }
}

/// What Vitrine itself asks of the host's files.
extension Host {
  /// Runs `body` with the address of `path`, ended by a zero.
  final func withPath<Result>(_ path: String, _ body: (UInt64) -> Result) -> Result {
    (Array(path.utf8) + [0]).withUnsafeBytes { body(UInt64(UInt(bitPattern: $0.baseAddress))) }
  }

  /// Opens a file for reading, close-on-exec; `flags` besides. The descriptor, or -errno.
  final func openForReading(_ path: String, flags: UInt64 = 0) -> Int64 {
    let closeOnExec: UInt64 = 0x80000
    return withPath(path) { call(2, $0, closeOnExec | flags) }
  }

  /// Writes all of `bytes`; false when the host takes no more.
  @discardableResult
  public final func writeAll(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
    bytes.withUnsafeBytes { buffer in
      var done = 0
      while done < buffer.count {
        let result = callUninterrupted(
          1, UInt64(UInt32(bitPattern: descriptor)),
          UInt64(UInt(bitPattern: buffer.baseAddress)) &+ UInt64(done), UInt64(buffer.count &- done))
        if result <= 0 { return false }
        done &+= Int(result)
      }
      return true
    }
  }
}
