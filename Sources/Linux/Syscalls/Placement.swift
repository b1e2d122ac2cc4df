// On which node of the host memory lies (numa(7)): policies, and pages that move. The host decides; addresses are the guest's.
import GuestMemory
import LinuxABI

extension SystemCallTable {
  mutating func definePlacement() {
    define(237, "mbind", "addr ulong int ptr ulong uint", [], LinuxProcess.bindMemory)
    define(238, "set_mempolicy", "int ptr ulong")
    define(239, "get_mempolicy", "*int> ptr ulong addr ulong", [], LinuxProcess.memoryPolicy)
    define(256, "migrate_pages", "pid ulong ptr ptr")
    define(279, "move_pages", "pid ulong ptr ptr ptr int", [], LinuxProcess.movePages)
    define(450, "set_mempolicy_home_node", "addr ulong ulong hex", [], LinuxProcess.homeNode)
  }
}

extension LinuxProcess {
  static func bindMemory(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    if arguments.a & Page.mask != 0 { return -Errno.EINVAL }
    let nodes = process.memory.hostArgument(arguments.d)
    let result = process.forMapped(arguments.a, size: arguments.b) { address, size in
      process.host.call(237, address, size, arguments.c, nodes, arguments.e, arguments.f)
    }
    guard result == -Errno.ENOMEM else { return result }
    // MPOL_DEFAULT passes over holes, if there is anything at all.
    let end = arguments.a.addingReportingOverflow(arguments.b)
    let hasAny = !process.memory.regions(from: arguments.a, to: end.overflow ? .max : end.partialValue)
      .isEmpty
    return hasAny && int(arguments.c) == 0 ? 0 : -Errno.EFAULT
  }

  static func memoryPolicy(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    let memory = process.memory
    memory.prepareHostWrite(arguments.a, size: 4)
    memory.prepareHostWrite(arguments.b, size: min(arguments.c, 1 << 20) / 8 &+ 8)
    return process.host.call(
      239, memory.hostArgument(arguments.a), memory.hostArgument(arguments.b), arguments.c,
      memory.hostArgument(arguments.d), arguments.e)
  }

  /// set_mempolicy_home_node(2).
  static func homeNode(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    let memory = process.memory
    var size = arguments.b
    // Beyond the window there is nothing that could have a policy.
    if arguments.a < memory.limit, arguments.a &+ size > memory.limit { size = memory.limit &- arguments.a }
    return process.host.call(450, memory.hostArgument(arguments.a), size, arguments.c, arguments.d)
  }

  /// move_pages(2): in this process or in another guest, whose window lies at the same place. A piece at a time, as the kernel does.
  static func movePages(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    let target = Int64(int(arguments.a))
    if target != 0, !process.isGuest(target) {
      let answer = process.host.call(279, arguments.a, 0, 0, 0, 0, arguments.f)
      return answer < 0 ? answer : -Errno.EPERM
    }
    var (done, unmoved): (UInt64, Int64) = (0, 0)
    repeat {
      let count = min(arguments.b &- done, 1024)
      let result = process.movePages(arguments, from: done, count)
      if result < 0 { return result }
      unmoved &+= result
      done &+= count
    } while done < arguments.b
    return unmoved
  }

  private func movePages(_ arguments: Arguments, from first: UInt64, _ count: UInt64) -> Int64 {
    let isOwn = arguments.a & 0xffff_ffff == 0
    var pages: [UInt64] = []
    for index in 0..<count {
      let place = arguments.c &+ (first &+ index) &* 8
      guard let page = memory.load(UInt64.self, at: place) else { return -Errno.EFAULT }
      // An address that is no memory of the guest's is none of the host's either.
      let isMapped = isOwn ? memory.query(page) != nil : page < memory.limit
      pages.append(isMapped ? memory.hostArgument(page) : 1 << 63)
    }
    let nodes = arguments.d == 0 ? 0 : memory.hostArgument(arguments.d &+ first &* 4)
    let status = arguments.e &+ first &* 4
    memory.prepareHostWrite(status, size: count &* 4)
    return pages.withUnsafeBytes {
      host.call(
        279, arguments.a, count, address(of: $0.baseAddress), nodes, memory.hostArgument(status), arguments.f)
    }
  }
}
