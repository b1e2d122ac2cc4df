// What a declaration of a system call is. Dispatch, tracing, and later access control and recording, are driven by it.
//
// A signature is words, one an argument, then optionally "= hex" when the result is an address:
//
//     int uint long ulong hex octal dev fd dirfd pid signal    scalars (int and fd are 32 bits wide)
//     %open  $whence        a set of flags, or one of a set of names (Trace/FlagNames.swift)
//     path  str             zero-terminated strings that the call reads
//     buf<2  buf>2          bytes read / written, as many as argument 2 says
//     iov<2  iov>2          a vector of buffers
//     *stat>  *pollfd=1     a struct that is read (<), written (>) or both (=); the digit counts an array
//     ptr                   memory that only the host kernel looks at
//     addr                  a guest address that is not looked at (mmap)
//
// A call without a handler is passed to the host as it is, pointers translated as the signature says.

import GuestMemory

/// A handler returns the call's result: a value, or -errno.
public typealias SystemCallHandler = (LinuxProcess, Arguments) -> Int64

/// How a call behaves towards signals.
struct SystemCallTraits: OptionSet, Sendable {
  let rawValue: UInt8
  /// May wait, and is interrupted by signals.
  static var waits: SystemCallTraits { SystemCallTraits(rawValue: 1) }
  /// Begins again after a handler with SA_RESTART (signal(7)).
  static var restarts: SystemCallTraits { SystemCallTraits(rawValue: 2) }
  /// Changes the contents of the file behind argument 0, or behind argument 2 (splice, copy_file_range).
  static var writesFile: SystemCallTraits { SystemCallTraits(rawValue: 8) }
  /// Does not come back: printed before it runs.
  static var noReturn: SystemCallTraits { SystemCallTraits(rawValue: 4) }
  /// sendto(2), recvfrom(2): with data in argument 1, and nothing else in memory if argument 4 is null.
  static var message: SystemCallTraits { SystemCallTraits(rawValue: 16) }
  /// futex(2): with a word in argument 0, and for some operations nothing else in memory.
  static var futex: SystemCallTraits { SystemCallTraits(rawValue: 32) }
  /// Waits and restarts.
  static var slow: SystemCallTraits { [.waits, .restarts] }
}

/// One system call: everything that is known of it.
// PERF: a class, because copying the struct with its handler took a tenth of a short call's time.
final class SystemCall {
  let number: Int
  let name: StaticString
  let signature: StaticString
  let traits: SystemCallTraits
  let handler: SystemCallHandler?
  /// Why the call is not supported; nil for a call that is. Docs/linux.md lists them.
  let refusal: StaticString?
  /// How a call without a handler hands its arguments over; made at the first use.
  private(set) lazy var handing = HandingPlan(parsed)
  /// It has come through the run loop, and whether it must is settled.
  var isSettled = false
  /// The signature, parsed at the first use.
  private(set) lazy var parsed = Signature(signature)
  /// What the call fills with as many bytes as it returns; found out at the first use.
  private(set) lazy var filled = FilledArgument(parsed)

  init(
    _ number: Int, _ name: StaticString, _ signature: StaticString, _ traits: SystemCallTraits,
    _ handler: SystemCallHandler?, refusal: StaticString?
  ) {
    (self.number, self.name, self.signature, self.traits) = (number, name, signature, traits)
    (self.handler, self.refusal) = (handler, refusal)
  }
}

extension SystemCall {
  /// How translated code can make the call by itself; nil: it has to come through the run loop.
  var directKind: AddressSpace.DirectCall? {
    if traits.contains(.message) { return .message }
    if traits.contains(.futex) { return .futex }
    guard handler == nil, !traits.contains(.noReturn) else { return nil }
    let kind = handing.directKind
    // Only calls with a pointer are taken back when code lies in files (`AddressSpace.beginCare`).
    if traits.contains(.writesFile), kind != .pointer { return nil }
    // One that does not begin again after signals would take an interruption by another thread for one.
    let mayRestart = !traits.contains(.waits) || traits.contains(.restarts)
    return mayRestart ? kind : kind == .pointer ? .waiting : nil
  }

  /// The same where calls are logged: all that the call does is in its result and in the memory that it fills.
  var loggedKind: AddressSpace.DirectCall? {
    guard let kind = directKind, LinuxProcess.keepsDescriptors(UInt64(number)) else { return nil }
    switch kind {
    case .numbers, .descriptor: return kind
    case .pointer where traits.contains(.writesFile): return filled == nil ? .writing : nil
    case .pointer where filled != nil:
      return filled?.index == 1 && filled?.count == 2 && filled?.isVector == false ? .filling : nil
    case .pointer:
      let type = parsed.arguments[1]
      let isOne = type.kind == .structure && type.access == .write && type.count == nil
      return isOne ? .structure(Structures.size(type.name)) : nil
    default: return nil
    }
  }
}

/// What becomes of the arguments of a call that goes to the host, a byte each.
// PERF: reading it takes a few nanoseconds; walking through the parsed signature, with its strings, thirty.
struct HandingPlan {
  enum Step: UInt64 {
    case asItIs, descriptor, hostAddress, path, writtenBuffer, structure, vector
  }

  /// From the lowest byte on: the step, and in bits 4 to 6 the argument that holds a size. 0 at the end.
  private(set) var word: UInt64 = 0

  init(_ signature: Signature) {
    for (index, type) in signature.arguments.enumerated() where index < 6 {
      let writes = type.access == .write || type.access == .readWrite
      let step: Step
      switch type.kind {
      case .descriptor, .directory: step = .descriptor
      case .path: step = .path
      case .vector: step = .vector
      case .string, .pointer: step = .hostAddress
      case .buffer: step = writes && type.count != nil ? .writtenBuffer : writes ? .structure : .hostAddress
      case .structure: step = writes ? .structure : .hostAddress
      default: step = .asItIs
      }
      word |= (step.rawValue | UInt64(type.count ?? 0) << 4) << UInt64(index * 8)
    }
  }

  /// How translated code can make such a call: a descriptor can be the first argument, a pointer the second one.
  var directKind: AddressSpace.DirectCall? {
    var kind = AddressSpace.DirectCall.numbers
    for index in 0..<6 {
      switch (Step(rawValue: word >> UInt64(index * 8) & 15) ?? .vector, index) {
      case (.asItIs, _): break
      case (.descriptor, 0): kind = .descriptor
      case (.hostAddress, 1), (.writtenBuffer, 1), (.structure, 1): kind = .pointer
      default: return nil
      }
    }
    return kind
  }
}

/// The argument behind which a call puts as many bytes as it returns.
// PERF: in numbers, because a recorder asks at each call, and types carry names.
struct FilledArgument {
  let index: Int
  /// The argument that holds the number of bytes or elements.
  let count: Int?
  /// It is a vector of buffers.
  let isVector: Bool

  init?(_ signature: Signature) {
    guard let index = signature.filled else { return nil }
    let type = signature.arguments[index]
    (self.index, count, isVector) = (index, type.count, type.kind == .vector)
  }
}

/// One argument of a parsed signature.
struct ArgumentType: Equatable {
  enum Kind: Equatable {
    case int, uint, long, ulong, hex, octal, device, descriptor, directory, process, signal
    case flags, choice
    case path, string, buffer, vector, structure, pointer, address
  }
  enum Access: Equatable { case none, read, write, readWrite }

  var kind: Kind
  var access: Access = .none
  /// The argument that holds the number of bytes or elements.
  var count: Int?
  /// Name of the flag set or struct.
  var name: [UInt8] = []

  var isFilled: Bool {
    access == .write && (kind == .buffer || kind == .vector || name.elementsEqual("dirents".utf8))
  }
}

/// A parsed signature.
final class Signature {
  private(set) var arguments: [ArgumentType] = []
  private(set) var resultIsAddress = false
  /// The argument behind which the call fills as many bytes as it returns: a buffer, a vector of them, or directory entries.
  private(set) var filled: Int?
  private(set) var valid = true

  init(_ text: StaticString) {
    // SAFETY: the literal's bytes live as long as the program.
    let bytes = UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
    for word in bytes.split(separator: 32) {
      if word.elementsEqual("=".utf8) { continue }
      if word.elementsEqual("hex".utf8), arguments.count == resultMark(bytes) {
        resultIsAddress = true
      } else if let argument = Signature.argument(Array(word)) {
        if argument.isFilled, filled == nil { filled = arguments.count }
        arguments.append(argument)
      } else {
        valid = false
      }
    }
  }

  /// The number of words before "=", or a number that no argument count reaches.
  private func resultMark(_ bytes: UnsafeBufferPointer<UInt8>) -> Int {
    bytes.split(separator: 32).firstIndex { $0.elementsEqual("=".utf8) } ?? Int.max
  }

  private static func argument(_ word: [UInt8]) -> ArgumentType? {
    guard let first = word.first else { return nil }
    switch first {
    case 0x25: return ArgumentType(kind: .flags, name: Array(word.dropFirst()))
    case 0x24: return ArgumentType(kind: .choice, name: Array(word.dropFirst()))
    default: break
    }
    guard let mark = word.firstIndex(where: { $0 == 0x3c || $0 == 0x3e || $0 == 0x3d }) else {
      return scalar(word)
    }
    let access: ArgumentType.Access = word[mark] == 0x3c ? .read : word[mark] == 0x3e ? .write : .readWrite
    let count = mark + 1 < word.count ? Int(word[mark + 1]) - 48 : nil
    let name = Array(word[..<mark])
    if name.elementsEqual("buf".utf8) { return ArgumentType(kind: .buffer, access: access, count: count) }
    if name.elementsEqual("iov".utf8) { return ArgumentType(kind: .vector, access: access, count: count) }
    guard first == 0x2a else { return nil }
    return ArgumentType(kind: .structure, access: access, count: count, name: Array(name.dropFirst()))
  }

  private static func scalar(_ word: [UInt8]) -> ArgumentType? {
    switch String(decoding: word, as: UTF8.self) {
    case "int": return ArgumentType(kind: .int)
    case "uint": return ArgumentType(kind: .uint)
    case "long": return ArgumentType(kind: .long)
    case "ulong": return ArgumentType(kind: .ulong)
    case "hex": return ArgumentType(kind: .hex)
    case "octal": return ArgumentType(kind: .octal)
    case "dev": return ArgumentType(kind: .device)
    case "fd": return ArgumentType(kind: .descriptor)
    case "dirfd": return ArgumentType(kind: .directory)
    case "pid": return ArgumentType(kind: .process)
    case "signal": return ArgumentType(kind: .signal)
    case "path": return ArgumentType(kind: .path, access: .read)
    case "str": return ArgumentType(kind: .string, access: .read)
    case "ptr": return ArgumentType(kind: .pointer, access: .read)
    case "addr": return ArgumentType(kind: .address)
    default: return nil
    }
  }
}

/// All calls by number.
struct SystemCallTable {
  private(set) var calls: [SystemCall?]

  static let size = 472

  init() {
    calls = [SystemCall?](repeating: nil, count: SystemCallTable.size)
    defineFiles()
    defineDirectories()
    defineDescriptors()
    defineMemory()
    defineProcesses()
    defineIdentity()
    defineSignals()
    defineTime()
    defineEvents()
    defineAsynchronous()
    defineSockets()
    defineSystem()
    defineInterprocess()
    defineMounts()
    definePlacement()
    defineAttributes()
    defineRefused()
  }

  subscript(number: UInt64) -> SystemCall? {
    number < UInt64(SystemCallTable.size) ? calls[Int(number)] : nil
  }

  mutating func define(
    _ number: Int, _ name: StaticString, _ signature: StaticString, _ traits: SystemCallTraits = [],
    _ handler: SystemCallHandler? = nil
  ) {
    calls[number] = SystemCall(number, name, signature, traits, handler, refusal: nil)
  }

  /// Declares a call that always fails, with what `handler` returns, and says why.
  mutating func refuse(
    _ number: Int, _ name: StaticString, _ signature: StaticString, _ handler: @escaping SystemCallHandler,
    _ reason: StaticString
  ) {
    calls[number] = SystemCall(number, name, signature, [], handler, refusal: reason)
  }
}
