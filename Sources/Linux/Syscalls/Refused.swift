// Calls that are refused, each with an error that the kernel itself gives on some machine, so that programs know what to do, and
// with the reason. The table in Docs/linux.md is made from these declarations.
import LinuxABI

extension SystemCallTable {
  mutating func defineRefused() {
    refuseTracing()
    refuseAdministration()
    refuseObsolete()
    refuseOther()
  }

  private mutating func refuseTracing() {
    let permission = LinuxProcess.notPermitted
    refuse(
      101, "ptrace", "long int addr addr", permission,
      "a tracer would see Vitrine's registers, not the guest's")
    refuse(298, "perf_event_open", "addr int int int hex", permission, "would count Vitrine's instructions")
    refuse(321, "bpf", "int addr uint", permission, "programs for the host's kernel")
    refuse(323, "userfaultfd", "hex", permission, "page faults are Vitrine's own to handle")
    let disabled = LinuxProcess.notSupported
    let landlock: StaticString = "a sandbox would bind Vitrine, which reads files under /proc"
    refuse(444, "landlock_create_ruleset", "addr ulong uint", disabled, landlock)
    refuse(445, "landlock_add_rule", "int int addr uint", disabled, landlock)
    refuse(446, "landlock_restrict_self", "int uint", disabled, landlock)
    refuse(460, "lsm_set_self_attr", "uint addr uint uint", disabled, "a label would bind Vitrine, too")
  }

  private mutating func refuseAdministration() {
    let permission = LinuxProcess.notPermitted
    let host: StaticString = "concerns the host as a whole"
    refuse(153, "vhangup", "", permission, host)
    refuse(167, "swapon", "addr int", permission, host)
    refuse(168, "swapoff", "addr", permission, host)
    refuse(169, "reboot", "hex hex hex addr", permission, host)
    refuse(175, "init_module", "addr ulong addr", permission, host)
    refuse(176, "delete_module", "addr uint", permission, host)
    refuse(246, "kexec_load", "ulong ulong addr hex", permission, host)
    refuse(313, "finit_module", "int addr int", permission, host)
    refuse(320, "kexec_file_load", "int int ulong addr hex", permission, host)
    let ports: StaticString = "guests have no ports"
    refuse(172, "iopl", "int", permission, ports)
    refuse(173, "ioperm", "hex hex int", permission, ports)
  }

  private mutating func refuseObsolete() {
    let missing = LinuxProcess.notImplemented
    let never: StaticString = "not in x86-64 kernels either"
    for (number, name) in SystemCallTable.neverThere {
      refuse(number, name, "hex hex hex hex hex", missing, never)
    }
    let gone: StaticString = "removed from current kernels"
    refuse(134, "uselib", "addr", missing, gone)
    refuse(156, "_sysctl", "addr", missing, gone)
    refuse(212, "lookup_dcookie", "hex addr ulong", missing, gone)
    refuse(154, "modify_ldt", "int addr ulong", missing, "guests have no segments of their own")
  }

  /// Numbers that have a name but no code in 64-bit kernels.
  private static var neverThere: [(Int, StaticString)] {
    [
      (174, "create_module"), (177, "get_kernel_syms"), (178, "query_module"), (180, "nfsservctl"),
      (181, "getpmsg"), (182, "putpmsg"), (183, "afs_syscall"), (184, "tuxcall"), (185, "security"),
      (205, "set_thread_area"), (211, "get_thread_area"), (214, "epoll_ctl_old"), (215, "epoll_wait_old"),
      (236, "vserver"),
    ]
  }

  private mutating func refuseOther() {
    let missing = LinuxProcess.notImplemented
    let asynchronous: StaticString =
      "the kernel would write guest memory at any time, past the tracking of code"
    refuse(425, "io_uring_setup", "uint addr", missing, asynchronous)
    refuse(426, "io_uring_enter", "uint uint uint uint addr ulong", missing, asynchronous)
    refuse(427, "io_uring_register", "uint uint addr uint", missing, asynchronous)
    let keys: StaticString = "keyrings are the host's"
    refuse(248, "add_key", "addr addr addr ulong int", missing, keys)
    refuse(249, "request_key", "addr addr addr int", missing, keys)
    refuse(250, "keyctl", "int hex hex hex hex", missing, keys)
    refuse(453, "map_shadow_stack", "hex ulong uint", missing, "the virtual processor has no shadow stacks")
  }
}

extension LinuxProcess {
  /// INT 80h, the way into the kernel of 32-bit programs: says once why it ends in a fault, as it does in kernels without
  /// CONFIG_IA32_EMULATION.
  public func reportOldSystemCall() {
    let key: UInt64 = 1 << 63 | 0x80
    guard reported.insert(key).inserted else { return }
    writeDiagnostic("vitrine: int 0x80: system calls of 32-bit programs are not supported\n")
  }

  static func notPermitted(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 { -Errno.EPERM }
  static func notImplemented(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 { -Errno.ENOSYS }
  static func notSupported(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 { -Errno.EOPNOTSUPP }
}
