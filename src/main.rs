//! Entry of the `pipe` command.

fn main() -> std::process::ExitCode {
    pipe::cli::main()
}
