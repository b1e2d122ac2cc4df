// What execve(2) is asked to do, and what came of it. Plain values: the caller decides about identity,
// randomness and hardware, so that the same request loads the same program bit by bit.

/// A program to be started, as execve(2) gets it, and the facts that the auxiliary vector reports.
public struct LoadRequest: Sendable {
  /// Path of the program; bytes without a terminating zero.
  public var path: [UInt8]
  /// Where the host finds it, if not at `path`: a path that names the guest's program through /proc.
  public var location: [UInt8]?
  /// The open program, when the host's kernel has opened it for Vitrine (binfmt_misc with the flag O). The loader closes it.
  public var descriptor: Int32?
  /// `argv`; an empty list becomes one empty string, as Linux does.
  public var arguments: [[UInt8]]
  /// `envp`, each `NAME=VALUE`.
  public var environment: [[UInt8]]
  /// AT_HWCAP: CPUID.1:EDX of the guest's CPU.
  public var hardwareCapabilities: UInt32 = 0
  /// AT_HWCAP2: bit 1 when the guest may use FSGSBASE.
  public var hardwareCapabilities2: UInt32 = 0
  /// AT_MINSIGSTKSZ: bytes that a signal frame needs at most.
  public var minimumSignalStack: UInt64 = 3632
  /// AT_UID, AT_EUID, AT_GID, AT_EGID.
  public var user: UInt32 = 0
  public var effectiveUser: UInt32 = 0
  public var group: UInt32 = 0
  public var effectiveGroup: UInt32 = 0
  /// Whether the program is to find the kernel's vdso in its memory, where the host can give it.
  public var wantsVDSO = false
  /// AT_RANDOM: 16 bytes as two numbers.
  public var random: (UInt64, UInt64) = (0, 0)
  /// Pages by which the stack and the area of mappings are moved down and a position-independent program up; 0
  /// gives the same addresses each time.
  public var slide: (stack: UInt64, image: UInt64, mappings: UInt64) = (0, 0, 0)

  public init(path: [UInt8], arguments: [[UInt8]], environment: [[UInt8]]) {
    self.path = path
    self.arguments = arguments
    self.environment = environment
  }
}

/// A program in memory, ready to run: every register but these two is zero at its entry (RDX too, which glibc
/// takes for a function to register with atexit).
public struct LoadedProgram: Equatable, Sendable {
  /// First instruction.
  public var entry: UInt64
  /// RSP: 16-byte aligned, pointing to argc.
  public var stackPointer: UInt64
  /// What was added to the file's addresses; 0 for ET_EXEC.
  public var loadBias: UInt64
  /// The image: its first byte and one past its last.
  public var image: Range<UInt64>
  /// The file that was loaded (a script's interpreter): what /proc/self/exe names.
  public var executablePath: [UInt8]
  /// AT_EXECFN: the path as it was asked for; /proc/self/comm is its last component.
  public var requestedPath: [UInt8]
  /// Memory of the argument strings, the environment strings and the auxiliary vector (/proc/self/cmdline,
  /// environ, auxv).
  public var argumentStrings: Range<UInt64>
  public var environmentStrings: Range<UInt64>
  public var auxiliaryVector: Range<UInt64>
}
