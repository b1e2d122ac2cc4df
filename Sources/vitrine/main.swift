// The command `vitrine`: hands the words of the command line to a command and leaves with its exit code. A command that runs
// a guest gets a process in which all of Vitrine's memory lies below the guest's (Docs/memory.md). Kept to one call, because
// variables of this file would belong to the main actor.

VitrineCommand.start()
