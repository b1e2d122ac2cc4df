// The command `vitrine`: hands the words of the command line to a command and leaves with its exit code. Kept
// to one call, because variables of this file would belong to the main actor.

exitProcess(with: VitrineCommand.run(ProcessArguments.current()))
