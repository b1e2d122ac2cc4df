// Builds small ELF files for the loader's tests, correct unless a test breaks them, and puts them into
// temporary files.
import Glibc

@testable import Linux

/// A program header to be written.
struct TestSegment {
  var type: UInt32 = 1
  var flags: UInt32 = 5
  var offset: UInt64 = 0
  var address: UInt64 = 0x40_0000
  var fileSize: UInt64 = 0x200
  var memorySize: UInt64 = 0x200
  var alignment: UInt64 = 0x1000
}

/// An ELF file in the making: header, program headers, then zeros up to `size`.
struct TestImage {
  var type: UInt16 = 2
  var entry: UInt64 = 0x40_0100
  var segments = [TestSegment()]
  var size = 0x200

  /// The file's bytes, with `patches` (offset, bytes) applied last.
  func bytes(_ patches: [(offset: Int, bytes: [UInt8])] = []) -> [UInt8] {
    var result: [UInt8] = [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0] + [UInt8](repeating: 0, count: 8)
    func add<T: FixedWidthInteger>(_ value: T) {
      withUnsafeBytes(of: value.littleEndian) { result += Array($0) }
    }
    add(type)
    add(UInt16(62))
    add(UInt32(1))
    add(entry)
    add(UInt64(64))
    add(UInt64(0))
    add(UInt32(0))
    for half in [64, 56, segments.count, 64, 0, 0] { add(UInt16(truncatingIfNeeded: half)) }
    for segment in segments {
      add(segment.type)
      add(segment.flags)
      add(segment.offset)
      add(segment.address)
      add(segment.address)
      add(segment.fileSize)
      add(segment.memorySize)
      add(segment.alignment)
    }
    if result.count < size { result += [UInt8](repeating: 0x90, count: size - result.count) }
    for patch in patches {
      result.replaceSubrange(patch.offset..<patch.offset + patch.bytes.count, with: patch.bytes)
    }
    return result
  }
}

/// A temporary file with these bytes, executable; removed when the value goes away.
final class TemporaryFile {
  let path: [UInt8]

  init(_ bytes: [UInt8], mode: mode_t = 0o755) {
    var template = Array("/tmp/vitrine-test-XXXXXX".utf8CString)
    let descriptor = mkstemp(&template)
    path = template.dropLast().map { UInt8(bitPattern: $0) }
    bytes.withUnsafeBytes { buffer in
      if let base = buffer.baseAddress { _ = write(descriptor, base, buffer.count) }
    }
    fchmod(descriptor, mode)
    close(descriptor)
  }

  deinit { unlink(path.map { CChar(bitPattern: $0) } + [0]) }
}
