// Two ways to tell perf(1) which guest code a host address belongs to. The map has one line for each piece of code, and
// the last line about an address counts; the dump also holds the code itself and the time it was written, so that it stays
// right when the cache is emptied and used again. Formats: tools/perf/Documentation/jit-interface.txt and
// jitdump-specification.txt of the Linux sources.
import CHost
import Linux
import Translator

/// /tmp/perf-PID.map: `START SIZE name` in hexadecimal.
struct PerfMap {
  private let file: OutputFile

  init?(_ process: LinuxProcess, id: Int64) {
    guard let file = OutputFile(Array("/tmp/perf-\(id).map".utf8), process) else { return nil }
    self.file = file
  }

  func add(_ code: TranslatedCode, _ name: String) {
    let line =
      String(code.hostAddress, radix: 16) + " " + String(code.host.count, radix: 16) + " " + name + "\n"
    file.write(Array(line.utf8))
  }
}

/// jit-PID.dump: a header and a record for each piece of code.
struct JitDump {
  static let version: UInt32 = 1
  private static let magic: UInt32 = 0x4a69_5444
  private static let headerSize: UInt32 = 40
  private static let machine: UInt32 = 62
  private let file: OutputFile
  private let process: LinuxProcess
  private let id: Int64
  private var index: UInt64 = 0

  init?(_ process: LinuxProcess, folder: [UInt8], id: Int64) {
    let path = folder + Array("/jit-\(id).dump".utf8)
    guard let file = OutputFile(path, readable: true, process) else { return nil }
    self.file = file
    self.process = process
    self.id = id
    // perf learns of the file from the event of this executable mapping: mmap(PROT_READ | PROT_EXEC, MAP_PRIVATE).
    let mapped = process.host.call(9, 0, 4096, 5, 2, UInt64(UInt32(bitPattern: file.descriptor)), 0)
    if mapped < 0 && mapped > -4096 { return nil }
    var header: [UInt8] = []
    for word in [
      JitDump.magic, JitDump.version, JitDump.headerSize, JitDump.machine, 0, UInt32(truncatingIfNeeded: id),
    ] {
      header.append(littleEndian: word)
    }
    header.append(littleEndian: JitDump.now)
    header.append(littleEndian: 0 as UInt64)
    file.write(header)
  }

  /// CLOCK_MONOTONIC in nanoseconds, which `perf record -k mono` uses too.
  private static var now: UInt64 {
    withUnsafeTemporaryAllocation(of: Int64.self, capacity: 2) { time in
      _ = vt_syscall6(228, 1, Int64(Int(bitPattern: time.baseAddress)), 0, 0, 0, 0)
      return UInt64(truncatingIfNeeded: time[0] &* 1_000_000_000 &+ time[1])
    }
  }

  /// JIT_CODE_LOAD.
  mutating func add(_ code: TranslatedCode, _ name: String) {
    let text = Array(name.utf8) + [0]
    var record: [UInt8] = []
    record.reserveCapacity(56 &+ text.count &+ code.host.count)
    record.append(littleEndian: 0 as UInt32)
    record.append(littleEndian: UInt32(truncatingIfNeeded: 56 &+ text.count &+ code.host.count))
    record.append(littleEndian: JitDump.now)
    record.append(littleEndian: UInt32(truncatingIfNeeded: id))
    record.append(littleEndian: UInt32(truncatingIfNeeded: process.host.call(186)))
    record.append(littleEndian: code.hostAddress)
    record.append(littleEndian: code.hostAddress)
    record.append(littleEndian: UInt64(code.host.count))
    record.append(littleEndian: index)
    record += text
    record += code.host
    index &+= 1
    file.write(record)
  }

  /// JIT_CODE_CLOSE.
  func close() {
    var record: [UInt8] = []
    record.append(littleEndian: 3 as UInt32)
    record.append(littleEndian: 16 as UInt32)
    record.append(littleEndian: JitDump.now)
    file.write(record)
  }
}

extension [UInt8] {
  fileprivate mutating func append<Value: FixedWidthInteger>(littleEndian value: Value) {
    Swift.withUnsafeBytes(of: value.littleEndian) { self += $0 }
  }
}
