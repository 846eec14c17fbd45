#include "cli/command.h"

int main(int argc, char** argv) { return hc::cli::run_program(argc, argv); }
