// Reading guest code for engines: in pieces, with the guest's execute permission checked, tolerant of pages that the host
// cannot read after all. Owns a small buffer.

import CHost
import GuestMemory
import X86

/// Reads guest code in pieces, checking that it is executable, and decodes from them.
public final class CodeReader {
  /// Most blocks are shorter; longer ones read again.
  private static let size = 128
  /// So many bytes may be read at what `bytes(at:)` returns, whatever the instruction's length.
  public static let readable = 16
  private let memory: AddressSpace
  // SAFETY: `size` bytes and `readable`, freed in deinit.
  private let bytes: UnsafeMutableRawPointer
  private var start: UInt64 = 0
  private var count = 0

  public init(memory: AddressSpace) {
    self.memory = memory
    bytes = .allocate(byteCount: CodeReader.size + CodeReader.readable, alignment: 16)
    bytes.initializeMemory(as: UInt8.self, repeating: 0, count: CodeReader.size + CodeReader.readable)
  }

  deinit { bytes.deallocate() }

  /// Forgets what was read: the code may have changed.
  public func begin(_ address: UInt64) {
    start = address
    count = 0
    refill(address)
  }

  private func refill(_ address: UInt64) {
    start = address
    count = 0
    let wanted = min(address &+ UInt64(CodeReader.size), memory.limit)
    guard address < memory.limit, let end = memory.executableEnd(from: address, to: wanted) else { return }
    let size = Int(end &- address)
    // Executable pages can still fail to be read: a mapped file may have been truncated.
    let source = memory.base + Int(truncatingIfNeeded: address)
    count = size &- vt_guard_copy(bytes, source, size)
  }

  /// Decodes the instruction at `address`, which lies in or right behind what was read last.
  public func decode(_ address: UInt64, into instruction: inout Instruction) -> DecodeStatus {
    var offset = Int(truncatingIfNeeded: address &- start)
    if offset < 0 || offset &+ Decoder.maximumLength > count {
      refill(address)
      offset = 0
    }
    let available = UnsafeRawBufferPointer(start: bytes + offset, count: max(count &- offset, 0))
    return Decoder.decode(available, mode: .bits64, into: &instruction)
  }

  /// The first byte of the instruction at `address` that cannot be fetched.
  public func faultAddress(_ address: UInt64) -> UInt64 {
    refill(address)
    return address &+ UInt64(count)
  }

  /// The bytes of the instruction that `decode` returned last for `address`; valid until the next call of any method.
  public func bytes(at address: UInt64) -> UnsafePointer<UInt8> {
    let offset = Int(truncatingIfNeeded: address &- start)
    // SAFETY: `decode` has just read the instruction from there.
    return UnsafePointer(
      (bytes + (offset >= 0 && offset < CodeReader.size ? offset : 0)).assumingMemoryBound(to: UInt8.self))
  }
}
