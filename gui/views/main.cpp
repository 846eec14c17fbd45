#include "gui/views/program.h"

int main(int argc, char** argv) {
    return hc::gui::run_viewer(argc, argv);
}
