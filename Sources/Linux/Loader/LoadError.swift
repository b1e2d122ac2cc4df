// Every way in which loading a program can fail, with the line that a person reads and the errno that
// execve(2) gives. Nothing here decides; the checks live with what they check.

/// Why a program cannot be loaded.
public enum LoadError: Error, Equatable, Sendable {
  /// The host refused the file; `number` is the errno.
  case file(path: [UInt8], number: Int32)
  /// A directory, device, socket or pipe.
  case notRegular(path: [UInt8], isDirectory: Bool)
  /// The execute permission is missing.
  case notExecutable(path: [UInt8])
  /// Neither ELF nor a script nor anything else that can be recognised.
  case unknownFormat(path: [UInt8])
  /// The file ends inside a structure that it needs.
  case truncated(path: [UInt8], what: StaticText, needed: UInt64, size: UInt64)
  /// A field of the ELF header (`segment` nil) or of program header number `segment` holds `value`, which
  /// cannot be.
  case field(path: [UInt8], name: StaticText, segment: Int?, value: UInt64, problem: StaticText)
  /// A portable executable whose embedded ELF header cannot be found or read.
  case portable(path: [UInt8], problem: StaticText)
  /// A well-formed program for a machine or system that Vitrine is not.
  case foreign(path: [UInt8], what: StaticText)
  /// The dynamic loader that `program` names (PT_INTERP) cannot be loaded.
  indirect case interpreter(program: [UInt8], LoadError)
  /// Two PT_LOAD segments claim the same bytes of memory.
  case overlap(path: [UInt8], first: Int, second: Int, address: UInt64)
  /// A `#!` line names no interpreter, or one longer than the line's limit.
  case badScript(path: [UInt8])
  /// More `#!` files in a row than Linux follows.
  case scriptsTooDeep(path: [UInt8])
  /// Arguments and environment are larger than Linux allows: `limit` bytes.
  case argumentsTooLarge(size: UInt64, limit: UInt64)
  /// Guest memory could not be mapped; errno from the host or the address space.
  case memory(path: [UInt8], what: StaticText, number: Int32)

  /// The errno that execve(2) reports for this.
  public var errno: Int32 {
    switch self {
    case .file(_, let number), .memory(_, _, let number): return number
    case .notRegular, .notExecutable: return 13
    case .argumentsTooLarge: return 7
    case .scriptsTooDeep: return 40
    case .interpreter(_, let reason):
      switch reason {
      case .file, .memory, .notRegular, .notExecutable: return reason.errno
      case .truncated(_, _, let needed, _): return needed == 64 ? 5 : 80
      default: return 80
      }
    default: return 8
    }
  }
}

/// A text known at compile time, comparable unlike `StaticString`.
public struct StaticText: Equatable, Sendable, ExpressibleByStringLiteral, CustomStringConvertible {
  private let text: StaticString
  public init(stringLiteral value: StaticString) { text = value }
  public var description: String { text.description }
  public static func == (left: StaticText, right: StaticText) -> Bool {
    left.description == right.description
  }
}

extension LoadError: CustomStringConvertible {
  /// One line that names the file and, for a malformed one, the field.
  public var description: String {
    switch self {
    case .file(let path, let number): return "\(LoadError.name(path)): \(LoadError.message(number))"
    case .notRegular(let path, let isDirectory):
      return "\(LoadError.name(path)): \(isDirectory ? "is a directory" : "not a regular file")"
    case .notExecutable(let path):
      return "\(LoadError.name(path)): no execute permission (chmod +x makes it a program)"
    case .unknownFormat(let path):
      return "\(LoadError.name(path)): not an ELF program and not a script (e_ident: no magic number, no #!)"
    case .truncated(let path, let what, let needed, let size):
      return
        "\(LoadError.name(path)): malformed ELF: file ends inside \(what): needs \(needed) bytes, has \(size)"
    case .field(let path, let name, let segment, let value, let problem):
      let place = segment.map { "program header \($0): " } ?? ""
      return "\(LoadError.name(path)): malformed ELF: \(place)\(name) = \(value.hexadecimal): \(problem)"
    default: return otherDescription
    }
  }

  private var otherDescription: String {
    switch self {
    case .foreign(let path, let what):
      return "\(LoadError.name(path)): \(what); Vitrine runs x86-64 Linux programs"
    case .portable(let path, let problem):
      return "\(LoadError.name(path)): malformed portable executable: \(problem)"
    case .interpreter(let program, let reason):
      return "\(LoadError.name(program)): its interpreter (PT_INTERP) \(reason.description)"
    case .overlap(let path, let first, let second, let address):
      return "\(LoadError.name(path)): malformed ELF: program header \(second): p_vaddr: "
        + "overlaps program header \(first) at \(address.hexadecimal)"
    case .badScript(let path):
      return "\(LoadError.name(path)): the #! line names no interpreter, or it is too long"
    case .scriptsTooDeep(let path): return "\(LoadError.name(path)): too many levels of #! interpreters"
    case .argumentsTooLarge(let size, let limit):
      return "arguments and environment too large: \(size) bytes, the limit is \(limit)"
    case .memory(let path, let what, let number):
      return "\(LoadError.name(path)): cannot map \(what): \(LoadError.message(number))"
    default: return "cannot load"
    }
  }

  /// A path for people: control characters are shown as `?`, so that a name cannot drive the terminal.
  public static func name(_ path: [UInt8]) -> String {
    String(decoding: path.map { $0 < 32 || $0 == 127 ? 63 : $0 }, as: UTF8.self)
  }

  /// The text of an errno that opening or mapping a file can give (errno(3)).
  static func message(_ number: Int32) -> String {
    switch number {
    case 1: return "operation not permitted"
    case 2: return "no such file or directory"
    case 5: return "input/output error"
    case 6: return "no such device or address"
    case 12: return "not enough memory"
    case 13: return "permission denied"
    case 17: return "the address is taken"
    case 20: return "not a directory"
    case 22: return "invalid argument"
    case 23, 24: return "too many open files"
    case 26: return "text file busy (somebody has it open for writing)"
    case 36: return "file name too long"
    case 40: return "too many levels of symbolic links"
    case 75: return "value too large"
    default: return "error \(number)"
    }
  }
}
