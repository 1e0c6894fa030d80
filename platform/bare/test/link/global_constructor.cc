// Needs a constructor to run before bare_main().

int first_number();

namespace {

int const number = first_number();

} // namespace

int first_number() { return 5; }

int bare_main() { return *const_cast<int const volatile *>(&number); }
