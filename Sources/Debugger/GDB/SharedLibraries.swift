// The list of shared objects that the dynamic loader keeps for debuggers (`r_debug` in <link.h>), as the document that gdb reads
// instead of following it pointer by pointer. All of it is guest memory: every pointer may lead anywhere, and the list may be endless.

import GuestMemory
import Linux

/// Reads the list of one process.
struct SharedLibraries {
  private let memory: AddressSpace
  private let auxiliary: [UInt8]
  private static let mostObjects = 4096

  init(memory: AddressSpace, auxiliary: [UInt8]) { (self.memory, self.auxiliary) = (memory, auxiliary) }

  private func auxiliaryValue(_ type: UInt64) -> UInt64? {
    for place in stride(from: 0, to: auxiliary.count, by: 16)
    where auxiliary.littleEndian(UInt64.self, at: place) == type {
      return auxiliary.littleEndian(UInt64.self, at: place + 8)
    }
    return nil
  }

  /// Where the program was loaded, as far as that is not where it was linked to, and its dynamic section.
  private var program: (bias: UInt64, dynamic: UInt64?)? {
    guard let headers = auxiliaryValue(3), let size = auxiliaryValue(4), let count = auxiliaryValue(5),
      count < 1024
    else { return nil }
    var bias: UInt64 = 0
    var dynamic: UInt64?
    for index in 0..<count {
      let place = headers &+ index &* size
      guard let type = memory.load(UInt32.self, at: place),
        let address = memory.load(UInt64.self, at: place &+ 16)
      else { return nil }
      if type == 6 { bias = headers &- address }  // PT_PHDR
      if type == 2 { dynamic = address }  // PT_DYNAMIC
    }
    return (bias, dynamic.map { $0 &+ bias })
  }

  /// Where the address of `r_debug` is: the value of DT_DEBUG in the program's dynamic section.
  var debugEntry: UInt64? {
    guard var entry = program?.dynamic else { return nil }
    for _ in 0..<1024 {
      guard let tag = memory.load(UInt64.self, at: entry), tag != 0 else { return nil }
      if tag == 21 { return entry &+ 8 }  // DT_DEBUG
      entry = entry &+ 16
    }
    return nil
  }

  /// The document; without objects before the loader has begun. `path`: of the program, which is the first one then.
  func document(program path: [UInt8]?) -> String {
    var main = ""
    if let path, let program {
      main = SharedLibraries.element(path, at: 0, base: program.bias, dynamic: program.dynamic ?? 0)
    }
    guard let debug = debugEntry.flatMap({ memory.load(UInt64.self, at: $0) }), debug != 0,
      let first = memory.load(UInt64.self, at: debug &+ 8), first != 0
    else {
      let head = "<library-list-svr4 version=\"1.0\""
      return main.isEmpty ? head + "/>\n" : head + ">\n" + main + "</library-list-svr4>\n"
    }
    var text = "<library-list-svr4 version=\"1.0\" main-lm=\"\(first.hexadecimal)\">\n" + main
    var object = memory.load(UInt64.self, at: first &+ 24) ?? 0
    var count = 0
    while object != 0, count < SharedLibraries.mostObjects {
      guard let base = memory.load(UInt64.self, at: object),
        let name = memory.load(UInt64.self, at: object &+ 8),
        let dynamic = memory.load(UInt64.self, at: object &+ 16),
        let next = memory.load(UInt64.self, at: object &+ 24)
      else { break }
      let path = (try? memory.cString(at: GuestAddress(name), limit: 4096)) ?? []
      if !path.isEmpty {
        text += SharedLibraries.element(path, at: object, base: base, dynamic: dynamic)
      }
      object = next
      count += 1
    }
    return text + "</library-list-svr4>\n"
  }

  private static func element(_ path: [UInt8], at object: UInt64, base: UInt64, dynamic: UInt64) -> String {
    "<library name=\"\(RemoteServer.escaped(path))\" lm=\"\(object.hexadecimal)\""
      + " l_addr=\"\(base.hexadecimal)\" l_ld=\"\(dynamic.hexadecimal)\" lmid=\"0x0\"/>\n"
  }
}
