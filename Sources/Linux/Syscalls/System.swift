// The machine: its name, its state, random numbers, what concerns the process as the kernel's object.
import CHost
import GuestMemory
import LinuxABI

extension SystemCallTable {
  mutating func defineSystem() {
    define(63, "uname", "*utsname>")
    define(99, "sysinfo", "*sysinfo>")
    define(103, "syslog", "int buf>2 int")
    define(157, "prctl", "$prctl hex hex hex hex", [], LinuxProcess.processControl)
    define(158, "arch_prctl", "$archprctl hex", [], LinuxProcess.architectureControl)
    define(318, "getrandom", "buf>1 ulong %getrandom", .slow)
    define(170, "sethostname", "str int")
    define(171, "setdomainname", "str int")
    define(163, "acct", "path")
    define(135, "personality", "hex", [], LinuxProcess.personality)
    define(272, "unshare", "hex")
    define(308, "setns", "fd hex")
    define(179, "quotactl", "hex path int ptr")
    define(317, "seccomp", "$seccomp %seccompflags addr", [], LinuxProcess.secureComputing)
    define(312, "kcmp", "int int int ulong ulong")
    define(459, "lsm_get_self_attr", "uint ptr *uint= uint", [], LinuxProcess.securityModules)
    define(461, "lsm_list_modules", "ptr *uint= uint", [], LinuxProcess.securityModules)
  }
}

extension LinuxProcess {
  /// lsm_get_self_attr(2), lsm_list_modules(2): the word behind the buffer says how many bytes it has.
  static func securityModules(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    let (memory, number) = (process.memory, process.callNumber)
    let index = number == 459 ? 1 : 0
    if let room = memory.load(UInt32.self, at: arguments[index + 1]) {
      memory.prepareHostWrite(arguments[index], size: UInt64(room))
    }
    memory.prepareHostWrite(arguments[index + 1], size: 4)
    var translated = arguments
    translated[index] = memory.hostArgument(arguments[index])
    translated[index + 1] = memory.hostArgument(arguments[index + 1])
    return process.host.call(number, translated.a, translated.b, translated.c, translated.d)
  }

  /// arch_prctl(2): segment bases; what concerns CET and features is refused as on older kernels.
  static func architectureControl(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    guard let cpu = process.cpu else { return -Errno.EINVAL }
    let isUser = arguments.b < 0x7fff_ffff_f000
    switch int(arguments.a) {
    case 0x1001:
      if !isUser { return -Errno.EPERM }
      cpu.pointee.gs_base = arguments.b
    case 0x1002:
      if !isUser { return -Errno.EPERM }
      cpu.pointee.fs_base = arguments.b
    case 0x1003: return process.memory.store(cpu.pointee.fs_base, at: arguments.b) ? 0 : -Errno.EFAULT
    case 0x1004: return process.memory.store(cpu.pointee.gs_base, at: arguments.b) ? 0 : -Errno.EFAULT
    case 0x1011: return 1
    case 0x1012: return arguments.b == 0 ? -Errno.ENODEV : 0
    case 0x2003:  // ARCH_MAP_VDSO_64
      if !process.options.mapsVDSO { return -Errno.EINVAL }
      return process.result { () throws(MemoryError) in try process.memory.mapVDSO(at: arguments.b).size }
    default: return -Errno.EINVAL
    }
    return 0
  }

  /// prctl(2): what is about this process passes; what would bind Vitrine itself (memory layout) does not.
  static func processControl(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    let memory = process.memory
    var forwarded = arguments
    switch int(arguments.a) {
    case 15: forwarded.b = memory.hostArgument(arguments.b)  // PR_SET_NAME
    case 16:  // PR_GET_NAME
      memory.prepareHostWrite(arguments.b, size: 16)
      forwarded.b = memory.hostArgument(arguments.b)
    case 2, 37, 19, 9, 11, 25:  // pointers to int: PDEATHSIG, CHILD_SUBREAPER, ENDIAN, FPEMU, FPEXC, TSC
      memory.prepareHostWrite(arguments.b, size: 4)
      forwarded.b = memory.hostArgument(arguments.b)
    case 40:  // PR_GET_TID_ADDRESS
      return memory.store(process.clearChildThread, at: arguments.b) ? 0 : -Errno.EFAULT
    case 0x4155_5856: return process.copyAuxiliaryVector(to: arguments.b, size: arguments.c)  // PR_GET_AUXV
    case 1, 3, 4, 7, 8, 23, 24, 27, 28, 29, 30, 36, 38, 39, 41, 42, 47: break
    case Int32(ProcessControl.getSeccomp): return process.seccompMode()
    case 22: return process.setSeccomp(arguments)  // PR_SET_SECCOMP
    case 0x5356_4d41: return 0  // PR_SET_VMA: names are not kept
    default: return -Errno.EINVAL
    }
    return process.host.call(157, forwarded.a, forwarded.b, forwarded.c, forwarded.d, forwarded.e)
  }

  /// PR_GET_AUXV: as much as fits; the result is the whole size.
  private func copyAuxiliaryVector(to address: UInt64, size: UInt64) -> Int64 {
    let vector = auxiliaryBytes()
    let part = Array(vector.prefix(Int(min(size, UInt64(vector.count)))))
    return memory.copyOut(part, to: GuestAddress(address)) ? Int64(vector.count) : -Errno.EFAULT
  }
}
