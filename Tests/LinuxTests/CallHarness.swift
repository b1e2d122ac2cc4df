// A guest process without an engine: tests put a system call's number and arguments into the CPU's registers and ask the
// personality, as the run loop does after SYSCALL.
import CHost
import Glibc
import GuestMemory
import LinuxABI
import Testing

@testable import Linux

/// All tests with a process: one after the other, because signals belong to the whole test program.
@Suite(.serialized) struct ProcessTests {}

/// One process with a page of scratch memory at `scratch` and code space at `code`.
final class CallHarness {
  static let scratch: UInt64 = 0x10_0000
  static let code: UInt64 = 0x40_0000
  static let stackTop: UInt64 = 0x80_0000

  let memory: AddressSpace
  let process: LinuxProcess
  let cpu: UnsafeMutablePointer<vt_cpu_state>
  private let traceFile: UnsafeMutablePointer<FILE>?

  init(host: Host = Host(), traced: Bool = false) throws {
    _ = vt_guard_install()
    memory = try AddressSpace()
    try memory.mapAnonymous(at: CallHarness.scratch, size: 65536, permissions: [.read, .write])
    try memory.mapAnonymous(at: CallHarness.code, size: 4096, permissions: [.read, .execute])
    try memory.mapAnonymous(at: CallHarness.stackTop - 65536, size: 65536, permissions: [.read, .write])
    var options = ProcessOptions()
    traceFile = traced ? tmpfile() : nil
    if let traceFile { options.traceDescriptor = dup(fileno(traceFile)) }
    process = LinuxProcess(memory: memory, host: host, options: options)
    let raw = UnsafeMutableRawPointer.allocate(byteCount: MemoryLayout<vt_cpu_state>.size, alignment: 64)
    raw.initializeMemory(as: UInt8.self, repeating: 0, count: MemoryLayout<vt_cpu_state>.size)
    cpu = raw.bindMemory(to: vt_cpu_state.self, capacity: 1)
    // Threads of the test program are started with all signals blocked.
    process.setMask(0)
    registers[.rsp] = CallHarness.stackTop - 4096
    registers.flags = 0x202
    cpu.pointee.rip = CallHarness.code + 2
  }

  deinit {
    vt_signal_attach(nil)
    cpu.deallocate()
    if let traceFile { fclose(traceFile) }
  }

  var registers: GuestRegisters { GuestRegisters(cpu) }

  /// Makes call `number` and returns RAX.
  @discardableResult func call(_ number: UInt64, _ arguments: UInt64...) -> Int64 {
    outcome(number, arguments)
    return Int64(bitPattern: registers[.rax])
  }

  /// Makes call `number` and returns what the run loop is told.
  @discardableResult func outcome(_ number: UInt64, _ arguments: [UInt64] = []) -> Outcome {
    let places: [GeneralRegister] = [.rdi, .rsi, .rdx, .r10, .r8, .r9]
    for (place, value) in zip(places, arguments + [UInt64](repeating: 0, count: 6)) {
      registers[place] = value
    }
    registers[.rax] = number
    return process.systemCall(cpu)
  }

  /// Puts zero-terminated text at `offset` of the scratch memory and returns its address.
  @discardableResult func text(_ text: String, at offset: UInt64 = 0) -> UInt64 {
    let address = CallHarness.scratch + offset
    _ = memory.copyOut(Array(text.utf8) + [0], to: GuestAddress(address))
    return address
  }

  /// What has been traced so far.
  var trace: String {
    guard let traceFile else { return "" }
    var result: [UInt8] = []
    rewind(traceFile)
    var buffer = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = fread(&buffer, 1, 4096, traceFile)
      if count == 0 { break }
      result += buffer[..<count]
    }
    return String(decoding: result, as: UTF8.self)
  }

  /// The address of `count` 64-bit words stored at `offset` of the scratch memory.
  @discardableResult func words(_ words: [UInt64], at offset: UInt64) -> UInt64 {
    let address = CallHarness.scratch + offset
    for (index, word) in words.enumerated() { _ = memory.store(word, at: address + UInt64(index) * 8) }
    return address
  }
}
