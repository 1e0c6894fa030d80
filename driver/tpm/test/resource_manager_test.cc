// Several users of a real swtpm at once, each of whom believes to be alone.

#include "driver/tpm/resource_manager.h"
#include "driver/tpm/test/rig.h"
#include "platform/sim/swtpm.h"
#include "platform/sim/swtpm_process.h"

#include <deque>
#include <string>

namespace bulkhead::tpm {
namespace {

using sim::Fault;

constexpr uint32_t OWNER = 0x4000'0001, NOBODY = 0x4000'0007, PASSWORD = 0x4000'0009;
constexpr uint32_t CC_UNSEAL = 0x15e, CC_READ_PUBLIC = 0x173, CC_FLUSH = 0x165, CC_SAVE = 0x162,
				   CC_LOAD_CONTEXT = 0x161, CC_START_SESSION = 0x176, CC_CAPABILITY = 0x17a,
				   CC_HASH_START = 0x186, CC_UPDATE = 0x15c, CC_COMPLETE = 0x13e,
				   CC_POLICY_CODE = 0x16c, CC_POLICY_DIGEST = 0x189, CC_CREATE = 0x153,
				   CC_LOAD = 0x157;
constexpr uint32_t NO_SUCH_HANDLE = 11u << 16 | 0x18b; // of the resource manager, handle 1

/* A message that grows. */
struct Builder
{
	Message bytes{};

	Builder &u8(uint8_t value)
	{
		bytes.push_back(value);
		return *this;
	}
	Builder &u16(unsigned value) { return u8(uint8_t(value >> 8)).u8(uint8_t(value)); }
	Builder &u32(uint32_t value) { return u16(value >> 16).u16(value & 0xffff); }
	Builder &raw(Message const &other)
	{
		bytes.insert(bytes.end(), other.begin(), other.end());
		return *this;
	}
	Builder &sized(Message const &other) { return u16(unsigned(other.size())).raw(other); }
	Builder &text(std::string_view other) { return sized({other.begin(), other.end()}); }
};

/* An authorization without a secret, by the password or by a session. */
Message authorization(uint32_t session, bool go_on)
{
	return Builder{}.u32(session).u16(0).u8(go_on).u16(0).bytes;
}

Message command(uint32_t code, Message const &handles, Message const &parameters,
	std::vector<Message> const &sessions = {})
{
	Builder built;
	built.u16(sessions.empty() ? 0x8001 : 0x8002).u32(0).u32(code).raw(handles);
	if (!sessions.empty()) {
		Builder area;
		for (Message const &session : sessions) area.raw(session);
		built.u32(uint32_t(area.bytes.size())).raw(area.bytes);
	}
	built.raw(parameters);
	store_be<uint32_t>(std::span(built.bytes).subspan<2, 4>(), uint32_t(built.bytes.size()));
	return built.bytes;
}

Message handle(uint32_t value) { return Builder{}.u32(value).bytes; }

Message create_storage_key()
{
	Message const area = Builder{}
							 .u16(0x23)
							 .u16(0xb)
							 .u32(0x30072)
							 .u16(0)
							 .u16(6)
							 .u16(128)
							 .u16(0x43)
							 .u16(0x10)
							 .u16(3)
							 .u16(0x10)
							 .u16(0)
							 .u16(0)
							 .bytes;
	return command(CREATE_PRIMARY, handle(OWNER),
		Builder{}.sized(Builder{}.u16(0).u16(0).bytes).sized(area).u16(0).u32(0).bytes,
		{authorization(PASSWORD, false)});
}

/* Parameters of a sealed secret, which needs no key to be made. */
Message sealed(std::string_view secret)
{
	Message const sensitive = Builder{}.u16(0).text(secret).bytes;
	Message const area = Builder{}.u16(8).u16(0xb).u32(0x452).u16(0).u16(0x10).u16(0).bytes;
	return Builder{}.sized(sensitive).sized(area).u16(0).u32(0).bytes;
}

Message flush(uint32_t value) { return command(CC_FLUSH, {}, handle(value)); }

Message list_handles(uint32_t first, uint32_t count = 100)
{
	return command(CC_CAPABILITY, {}, Builder{}.u32(1).u32(first).u32(count).bytes);
}

uint32_t u32_at(Message const &bytes, size_t at)
{
	return bytes.size() < at + 4 ? ~0u : load_be<uint32_t>(Bytes{bytes}.subspan(at).first<4>());
}

uint32_t code_of(Message const &response) { return u32_at(response, 6); }

struct Shared_tpm
{
	sim::Swtpm_process process{};
	sim::Swtpm swtpm{};
	sim::Tpm_registers chip{swtpm};
	sim::Tpm_wire wire{};
	Fake_clock clock{};
	Executor executor{clock};
	spi::Bus bus{wire};
	spi::Device device{bus, {}};
	Spi_access access{device};
	Tis tis{access};
	Resource_manager manager{tis};
	std::deque<Space> spaces{};
	Job_with_arena<16384> job{executor};
	Error error{};

	explicit Shared_tpm(unsigned users)
	{
		EXPECT_TRUE(process.start().ok()) << process.message();
		EXPECT_TRUE(swtpm.connect(process.data_socket(), process.control_socket()).ok())
			<< swtpm.message();
		swtpm.blocking = true;
		wire.attach(0, chip);
		EXPECT_TRUE(run(tis.start(job)).ok());
		for (unsigned i = 0; i < users; ++i) spaces.emplace_back(manager);
	}

	template <typename T>
	Attempt<T, Error> run(Task<T, Error> task)
	{
		return sync_wait(job, std::move(task), [this](uint64_t until_us) {
			if (until_us != NEVER_US) clock.time_us = std::max(clock.time_us, until_us);
		});
	}

	Message give(Interface &to, Message const &bytes)
	{
		constexpr uint32_t TPM_RC_RETRY = 0x922;
		for (unsigned tries = 0;; ++tries) {
			Message response(MESSAGE_MAX_BYTES);
			Attempt<size_t, Error> const size = run(to.execute(job, bytes, response));
			error = size.ok() ? Error{} : size.error();
			response.resize(size.ok() ? size.value() : 0);
			if (!size.ok() || size.value() < 10 || tries == 5) return response;
			if (load_be<uint32_t>(Bytes{response}.subspan<6, 4>()) != TPM_RC_RETRY) return response;
		}
	}

	/* The new handle, or 0. */
	uint32_t make(Interface &of, Message const &bytes)
	{
		Message const response = give(of, bytes);
		EXPECT_EQ(code_of(response), 0u) << std::hex << code_of(response) << " " << error;
		return code_of(response) == 0 ? u32_at(response, 10) : 0;
	}

	uint32_t seal(Interface &of, std::string_view secret)
	{
		return make(of,
			command(
				CREATE_PRIMARY, handle(OWNER), sealed(secret), {authorization(PASSWORD, false)}));
	}

	/* Hands a session over to its user; yields the command that loads it again. */
	Message save(Interface &of, uint32_t session)
	{
		Message const saved = give(of, command(CC_SAVE, handle(session), {}));
		EXPECT_EQ(code_of(saved), 0u);
		return command(CC_LOAD_CONTEXT, {}, {saved.begin() + 10, saved.end()});
	}

	/* What is sealed, or nothing. */
	std::string unseal(
		Interface &of, uint32_t object, uint32_t session = PASSWORD, bool go_on = true)
	{
		Message const response =
			give(of, command(CC_UNSEAL, handle(object), {}, {authorization(session, go_on)}));
		last_code = code_of(response);
		if (last_code != 0) return {};
		size_t const size = load_be<uint16_t>(Bytes{response}.subspan<14, 2>());
		return {response.begin() + 16, response.begin() + 16 + ptrdiff_t(size)};
	}

	static Message start_session(bool policy)
	{
		return command(CC_START_SESSION, Builder{}.u32(NOBODY).u32(NOBODY).bytes,
			Builder{}.sized(Message(16, 7)).u16(0).u8(policy).u16(0x10).u16(0xb).bytes);
	}

	uint32_t session(Interface &of, bool policy = false) { return make(of, start_session(policy)); }

	std::vector<uint32_t> handles(Interface &of, uint32_t first)
	{
		Message const response = give(of, list_handles(first));
		EXPECT_EQ(code_of(response), 0u);
		std::vector<uint32_t> found;
		for (uint32_t i = 0; i < u32_at(response, 15); ++i)
			if (u32_at(response, 19 + 4 * i) >> 24 == first >> 24)
				found.push_back(u32_at(response, 19 + 4 * i));
		return found;
	}

	/* How many objects and sessions the TPM itself has. */
	size_t remains()
	{
		size_t n = handles(tis, 0x8000'0000).size();
		// Sessions are listed by what they are, whichever type was asked for.
		for (uint32_t kind : {0x0200'0000u, 0x0300'0000u}) {
			Message const response = give(tis, list_handles(kind));
			n += u32_at(response, 15);
		}
		return n;
	}

	void forget(Space &space) { EXPECT_TRUE(run(space.forget(job)).ok()); }

	uint32_t last_code = 0;
};

struct Tpm_resource_manager : testing::Test, Shared_tpm
{
	Space &alice = spaces[0];
	Space &bob = spaces[1];

	Tpm_resource_manager() : Shared_tpm(8) {}
};

TEST_F(Tpm_resource_manager, gives_each_user_more_objects_than_the_tpm_has_slots)
{
	std::vector<uint32_t> objects[8];
	for (unsigned n = 0; n < Space::OBJECTS_MAX; ++n)
		for (unsigned user = 0; user < 8; ++user)
			objects[user].push_back(
				seal(spaces[user], std::to_string(user) + "/" + std::to_string(n)));
	EXPECT_EQ(remains(), 0u) << "between commands all is saved outside";
	for (unsigned n = 0; n < Space::OBJECTS_MAX; ++n)
		for (unsigned user = 0; user < 8; ++user)
			EXPECT_EQ(unseal(spaces[user], objects[user][n]),
				std::to_string(user) + "/" + std::to_string(n));

	Message const one_more = give(alice,
		command(CREATE_PRIMARY, handle(OWNER), sealed("x"), {authorization(PASSWORD, false)}));
	EXPECT_EQ(code_of(one_more), 11u << 16 | 0x902u) << "TPM_RC_OBJECT_MEMORY";
	EXPECT_EQ(code_of(give(alice, flush(objects[0][3]))), 0u);
	EXPECT_EQ(unseal(alice, objects[0][3]), "");
	EXPECT_EQ(last_code, NO_SUCH_HANDLE);
	EXPECT_NE(seal(alice, "again"), objects[0][3]) << "a handle is not used again soon";
	EXPECT_EQ(unseal(bob, objects[1][3]), "1/3");
}

TEST_F(Tpm_resource_manager, replaces_handles_in_commands_and_responses)
{
	uint32_t const key = make(alice, create_storage_key());
	uint32_t const other = make(bob, create_storage_key());
	EXPECT_EQ(key, other) << "each counts for itself";
	Message const created = give(
		alice, command(CC_CREATE, handle(key), sealed("child"), {authorization(PASSWORD, true)}));
	ASSERT_EQ(code_of(created), 0u);
	size_t const private_size = load_be<uint16_t>(Bytes{created}.subspan<14, 2>());
	Message const private_part(
		created.begin() + 16, created.begin() + 16 + ptrdiff_t(private_size));
	size_t const at = 16 + private_size;
	size_t const public_size = load_be<uint16_t>(Bytes{created}.subspan(at).first<2>());
	Message const public_part(
		created.begin() + ptrdiff_t(at) + 2, created.begin() + ptrdiff_t(at + 2 + public_size));
	Message const load = command(CC_LOAD, handle(key),
		Builder{}.sized(private_part).sized(public_part).bytes, {authorization(PASSWORD, true)});
	uint32_t const child = make(alice, load);
	EXPECT_EQ(unseal(alice, child), "child");
	EXPECT_EQ(code_of(give(alice, command(CC_READ_PUBLIC, handle(child), {}))), 0u);
	EXPECT_EQ(code_of(give(bob, command(CC_READ_PUBLIC, handle(child), {}))), NO_SUCH_HANDLE);
	EXPECT_EQ(remains(), 0u);
}

TEST_F(Tpm_resource_manager, shows_each_user_its_own_handles)
{
	uint32_t const a = seal(alice, "a"), b = seal(alice, "b");
	uint32_t const mine = session(alice), theirs = session(bob, true);
	EXPECT_EQ(handles(alice, 0x8000'0000), (std::vector<uint32_t>{a, b}));
	EXPECT_EQ(handles(alice, b), (std::vector<uint32_t>{b}));
	EXPECT_EQ(handles(bob, 0x8000'0000), std::vector<uint32_t>{});
	Message const saved = give(alice, list_handles(0x0300'0000));
	ASSERT_EQ(u32_at(saved, 15), 1u);
	EXPECT_EQ(u32_at(saved, 19), mine);
	EXPECT_EQ(u32_at(give(bob, list_handles(0x0300'0000)), 19), theirs);
	EXPECT_EQ(u32_at(give(bob, list_handles(0x0200'0000)), 15), 0u);
	Message const first = give(alice, list_handles(0x8000'0000, 1));
	EXPECT_EQ(first[10], 1) << "there are more";
	EXPECT_EQ(u32_at(first, 15), 1u);
	Message const audited = give(alice,
		command(CC_CAPABILITY, {}, Builder{}.u32(1).u32(0x8000'0000).u32(10).bytes,
			{authorization(mine, true)}));
	EXPECT_EQ(code_of(audited), 11u << 16 | 0x145u);
	EXPECT_FALSE(handles(alice, 0x4000'0000).empty()) << "permanent ones are the TPM's";
}

TEST_F(Tpm_resource_manager, keeps_the_sessions_of_many_users)
{
	uint32_t hmac[8][2], policy[8], secret[8];
	for (unsigned user = 0; user < 8; ++user) {
		secret[user] = seal(spaces[user], "secret " + std::to_string(user));
		for (uint32_t &one : hmac[user]) one = session(spaces[user]);
		policy[user] = session(spaces[user], true);
	}
	for (unsigned round = 0; round < 3; ++round)
		for (unsigned user = 0; user < 8; ++user)
			for (uint32_t one : hmac[user])
				EXPECT_EQ(unseal(spaces[user], secret[user], one), "secret " + std::to_string(user))
					<< std::hex << last_code;
	// What each has done to its policy session stays apart.
	for (unsigned user = 0; user < 8; user += 2)
		EXPECT_EQ(
			code_of(give(spaces[user],
				command(CC_POLICY_CODE, handle(policy[user]), Builder{}.u32(CC_UNSEAL).bytes))),
			0u);
	Message const changed = give(alice, command(CC_POLICY_DIGEST, handle(policy[0]), {}));
	Message const unchanged = give(bob, command(CC_POLICY_DIGEST, handle(policy[1]), {}));
	EXPECT_NE(changed, unchanged);
	EXPECT_EQ(give(spaces[2], command(CC_POLICY_DIGEST, handle(policy[2]), {})), changed);
	EXPECT_EQ(give(spaces[3], command(CC_POLICY_DIGEST, handle(policy[3]), {})), unchanged);

	// Nobody uses the session of another.
	EXPECT_EQ(unseal(bob, secret[1], hmac[0][0]), "");
	EXPECT_EQ(last_code & 0xfff, 0x8bu);
	EXPECT_EQ(code_of(give(bob, command(CC_POLICY_DIGEST, handle(policy[0]), {}))), NO_SUCH_HANDLE);
	EXPECT_EQ(code_of(give(bob, flush(hmac[0][0]))), NO_SUCH_HANDLE);
	EXPECT_EQ(code_of(give(bob, command(CC_SAVE, handle(hmac[0][0]), {}))), NO_SUCH_HANDLE);
	EXPECT_EQ(unseal(alice, secret[0], hmac[0][0]), "secret 0");

	for (Space &space : spaces) forget(space);
	EXPECT_EQ(remains(), 0u);
}

TEST_F(Tpm_resource_manager, notices_the_end_of_a_session)
{
	uint32_t const secret = seal(alice, "s");
	for (unsigned i = 0; i < 70; ++i) {
		uint32_t const once = session(alice);
		ASSERT_EQ(unseal(alice, secret, once, false), "s") << i << std::hex << last_code;
		EXPECT_EQ(unseal(alice, secret, once), "");
		EXPECT_EQ(last_code & 0xff, 0x8bu);
	}
	for (unsigned i = 0; i < 70; ++i) EXPECT_EQ(code_of(give(alice, flush(session(alice)))), 0u);
	uint32_t const kept = session(alice);
	EXPECT_EQ(unseal(alice, secret, kept, true), "s");
	EXPECT_EQ(handles(bob, 0x0300'0000).size(), 0u);
}

TEST_F(Tpm_resource_manager, keeps_an_old_session_though_contexts_are_numbered_with_16_bits)
{
	uint32_t const secret = seal(alice, "a");
	uint32_t const old[] = {session(alice), session(alice)};
	Message const load = save(alice, session(alice));
	uint32_t const busy = session(bob, true);
	Message const use = command(CC_POLICY_DIGEST, handle(busy), {});
	for (unsigned i = 0; i < 66'000; ++i)
		ASSERT_EQ(code_of(give(bob, use)), 0u) << i << " " << std::hex << last_code;
	for (uint32_t one : old) EXPECT_EQ(unseal(alice, secret, one), "a") << std::hex << last_code;
	EXPECT_NE(code_of(give(alice, load)), 0u) << "only the user could save this one anew";
	EXPECT_EQ(remains(), 3u);
}

TEST_F(Tpm_resource_manager, limits_the_sessions_of_a_user)
{
	for (unsigned i = 0; i < Space::SESSIONS_MAX; ++i) EXPECT_NE(session(alice), 0u);
	Message const one_more = give(alice, start_session(false));
	EXPECT_EQ(code_of(one_more), 11u << 16 | 0x903u);
	EXPECT_NE(session(bob), 0u);
}

TEST_F(Tpm_resource_manager, lets_a_user_save_and_load_contexts)
{
	uint32_t const object = seal(alice, "o");
	Message const saved = give(alice, command(CC_SAVE, handle(object), {}));
	ASSERT_EQ(code_of(saved), 0u);
	Message const context(saved.begin() + 10, saved.end());
	uint32_t const copy = make(alice, command(CC_LOAD_CONTEXT, {}, context));
	EXPECT_NE(copy, object);
	EXPECT_EQ(unseal(alice, copy), "o");
	EXPECT_EQ(unseal(alice, object), "o");

	uint32_t const mine = session(alice);
	Message const saved_session = give(alice, command(CC_SAVE, handle(mine), {}));
	ASSERT_EQ(code_of(saved_session), 0u);
	EXPECT_EQ(unseal(alice, object, mine), "") << "the user has it";
	Message const session_context(saved_session.begin() + 10, saved_session.end());
	EXPECT_EQ(make(alice, command(CC_LOAD_CONTEXT, {}, session_context)), mine);
	EXPECT_EQ(unseal(alice, object, mine), "o");
	forget(alice);
	EXPECT_EQ(remains(), 0u);
}

// What tpm2_startauthsession and tpm2_policypcr do, each with an open of its own.
TEST_F(Tpm_resource_manager, lets_a_saved_session_outlive_its_user_and_belong_to_who_loads_it)
{
	uint32_t const policy = session(alice, true);
	Message const load = save(alice, policy);
	forget(alice);
	// Not even what went wrong for somebody else ends it.
	chip.faults.response_dropped = Fault::once();
	(void)give(spaces[2], create_storage_key());
	EXPECT_EQ(error, Error::HUNG);
	chip.faults = {};
	EXPECT_EQ(make(bob, load), policy);
	EXPECT_EQ(
		code_of(give(bob, command(CC_POLICY_CODE, handle(policy), Builder{}.u32(CC_UNSEAL).bytes))),
		0u);
	Message const again = save(bob, policy);
	EXPECT_NE(code_of(give(alice, load)), 0u) << "the older context is void";
	EXPECT_EQ(make(alice, again), policy);

	// It is alice's now, and nobody else's.
	EXPECT_EQ(code_of(give(bob, command(CC_POLICY_DIGEST, handle(policy), {}))), NO_SUCH_HANDLE);
	EXPECT_EQ(code_of(give(bob, flush(policy))), NO_SUCH_HANDLE);
	EXPECT_EQ(handles(bob, 0x0300'0000).size(), 0u);
	forget(bob);
	EXPECT_EQ(code_of(give(alice, command(CC_POLICY_DIGEST, handle(policy), {}))), 0u);
	forget(alice);
	EXPECT_EQ(remains(), 0u);
}

TEST_F(Tpm_resource_manager, lets_who_saved_a_session_flush_it)
{
	uint32_t const policy = session(alice, true);
	Message const load = save(alice, policy);
	EXPECT_EQ(handles(alice, 0x0300'0000), std::vector<uint32_t>{policy});
	EXPECT_EQ(code_of(give(bob, flush(policy))), NO_SUCH_HANDLE);
	EXPECT_EQ(code_of(give(alice, flush(policy))), 0u);
	EXPECT_NE(code_of(give(alice, load)), 0u);
	EXPECT_EQ(remains(), 0u);
}

TEST_F(Tpm_resource_manager, does_not_let_saved_sessions_use_up_those_of_the_tpm)
{
	constexpr unsigned KEPT = 16, MANY = 100; // a TPM knows 64
	std::vector<Message> loads;
	for (unsigned i = 0; i < MANY; ++i) {
		loads.push_back(save(alice, session(alice)));
		forget(alice);
	}
	EXPECT_EQ(remains(), KEPT);
	EXPECT_NE(code_of(give(bob, loads[MANY - KEPT - 1])), 0u);
	EXPECT_EQ(code_of(give(bob, loads[MANY - KEPT])), 0u);
	EXPECT_EQ(code_of(give(bob, loads[MANY - 1])), 0u);
}

TEST_F(Tpm_resource_manager, does_not_take_a_new_session_for_one_from_before_a_reset)
{
	uint32_t const old = session(alice);
	ASSERT_TRUE(swtpm.init().ok()) << swtpm.message();
	chip.reset();
	EXPECT_EQ(code_of(give(bob, command(0x144, {}, Builder{}.u16(0).bytes))), 0u);
	uint32_t const fresh = session(bob);
	ASSERT_EQ(fresh, old) << "the TPM counts from the start";
	uint32_t const secret = seal(bob, "b");
	EXPECT_EQ(unseal(alice, seal(alice, "a"), old), "");
	EXPECT_EQ(unseal(bob, secret, fresh), "b");
	forget(alice);
	EXPECT_EQ(unseal(bob, secret, fresh), "b");
}

TEST_F(Tpm_resource_manager, keeps_sequences_apart)
{
	auto const start = [&](Space &user) {
		return make(user, command(CC_HASH_START, {}, Builder{}.u16(0).u16(0xb).bytes));
	};
	auto const update = [&](Space &user, uint32_t sequence, std::string_view text) {
		EXPECT_EQ(code_of(give(user,
					  command(CC_UPDATE, handle(sequence), Builder{}.text(text).bytes,
						  {authorization(PASSWORD, true)}))),
			0u);
	};
	auto const complete = [&](Space &user, uint32_t sequence) {
		Message const response = give(user,
			command(CC_COMPLETE, handle(sequence), Builder{}.u16(0).u32(NOBODY).bytes,
				{authorization(PASSWORD, true)}));
		EXPECT_EQ(code_of(response), 0u);
		return u32_at(response, 16);
	};
	uint32_t const a = start(alice), b = start(bob);
	update(alice, a, "a");
	update(bob, b, "");
	update(alice, a, "b");
	update(alice, a, "c");
	EXPECT_EQ(complete(bob, b), 0xe3b0c442u) << "SHA-256 of nothing";
	EXPECT_EQ(complete(alice, a), 0xba7816bfu) << "SHA-256 of abc";
	Message const over = give(alice,
		command(CC_UPDATE, handle(a), Builder{}.text("x").bytes, {authorization(PASSWORD, true)}));
	EXPECT_EQ(code_of(over), NO_SUCH_HANDLE);
	EXPECT_EQ(handles(alice, 0x8000'0000).size(), 0u);
	EXPECT_EQ(remains(), 0u);

	// A sequence whose latest state is lost must not go on with an older one.
	uint32_t const c = start(alice);
	update(alice, c, "a");
	chip.faults.response_dropped = Fault::nth(3); // load, update, save
	Message const lost = give(alice,
		command(CC_UPDATE, handle(c), Builder{}.text("b").bytes, {authorization(PASSWORD, true)}));
	EXPECT_EQ(error, Error::HUNG);
	chip.faults = {};
	EXPECT_EQ(code_of(give(alice,
				  command(CC_COMPLETE, handle(c), Builder{}.u16(0).u32(NOBODY).bytes,
					  {authorization(PASSWORD, true)}))),
		NO_SUCH_HANDLE);
	EXPECT_EQ(remains(), 0u);
}

TEST_F(Tpm_resource_manager, refuses_what_belongs_to_nobody)
{
	uint32_t const mine = seal(alice, "x");
	for (uint32_t stranger : {mine + 1, 0x8000'0000u, 0x80ff'ffffu}) {
		EXPECT_EQ(code_of(give(bob, flush(stranger))), NO_SUCH_HANDLE);
		EXPECT_EQ(unseal(bob, stranger), "");
		EXPECT_EQ(last_code, NO_SUCH_HANDLE);
	}
	for (uint32_t stranger : {0x0200'0000u, 0x0300'0000u, 0x0200'0001u}) {
		EXPECT_EQ(code_of(give(bob, flush(stranger))), NO_SUCH_HANDLE);
		EXPECT_EQ(unseal(bob, mine, stranger), "");
	}
	EXPECT_NE(code_of(give(bob, flush(OWNER))), 0u);
	EXPECT_EQ(code_of(give(bob, command(0x1ff, {}, {}))), 11u << 16 | 0x143u);
	EXPECT_EQ(unseal(alice, mine), "x");
}

TEST_F(Tpm_resource_manager, survives_hostile_commands)
{
	uint32_t const mine = seal(alice, "x");
	uint32_t const with = session(alice);
	Message const good = command(CC_UNSEAL, handle(mine), {}, {authorization(with, true)});
	for (size_t size = 0; size < good.size(); ++size) {
		Message cut(good.begin(), good.begin() + ptrdiff_t(size));
		(void)give(bob, cut);
		EXPECT_EQ(error, Error::COMMAND_SIZE);
		if (size < 10) continue;
		store_be<uint32_t>(std::span(cut).subspan<2, 4>(), uint32_t(size));
		for (Space *user : {&alice, &bob}) {
			Message const response = give(*user, cut);
			EXPECT_EQ(error, Error{});
			EXPECT_NE(code_of(response), 0u) << size;
		}
	}
	for (uint32_t lie : {0u, 1u, 8u, 10u, 1000u, 0x7fff'ffffu, 0xffff'ffffu}) {
		Message bad = good;
		store_be<uint32_t>(std::span(bad).subspan<14, 4>(), lie);
		EXPECT_NE(code_of(give(alice, bad)), 0u) << lie;
		EXPECT_NE(code_of(give(bob, bad)), 0u) << lie;
	}
	// More sessions than a command can have; a flush behind an authorization; unknown tags.
	Message const one = authorization(with, true);
	EXPECT_NE(code_of(give(alice, command(CC_UNSEAL, handle(mine), {}, {one, one, one, one}))), 0u);
	EXPECT_NE(
		code_of(give(bob, command(CC_FLUSH, {}, handle(with), {authorization(PASSWORD, true)}))),
		0u);
	EXPECT_NE(code_of(give(bob, command(CC_FLUSH, {}, Builder{}.u32(with).u8(0).bytes))), 0u);
	Message odd = good;
	odd[1] = 0x77;
	EXPECT_NE(code_of(give(bob, odd)), 0u);

	EXPECT_EQ(unseal(alice, mine, with), "x") << std::hex << last_code;
	for (Space &space : spaces) forget(space);
	EXPECT_EQ(remains(), 0u);
}

TEST_F(Tpm_resource_manager, frees_all_that_a_user_leaves_behind)
{
	for (unsigned round = 0; round < 3; ++round) {
		for (Space *user : {&alice, &bob})
			for (unsigned i = 0; i < 4; ++i) {
				EXPECT_NE(seal(*user, "s"), 0u);
				EXPECT_NE(session(*user, i & 1), 0u);
			}
		uint32_t const kept = seal(bob, "kept");
		forget(alice);
		EXPECT_EQ(handles(alice, 0x8000'0000).size(), 0u);
		EXPECT_EQ(unseal(bob, kept), "kept");
		forget(bob);
		EXPECT_EQ(remains(), 0u);
	}
}

TEST_F(Tpm_resource_manager, clears_up_after_an_error_at_any_of_its_commands)
{
	for (uint32_t n = 1; n <= 9; ++n) {
		SCOPED_TRACE(n);
		uint32_t const secret = seal(alice, "a"), other = seal(bob, "b");
		uint32_t const with = session(alice);
		chip.faults.response_dropped = Fault::nth(n);
		(void)unseal(alice, secret, with);
		(void)give(alice,
			command(
				CREATE_PRIMARY, handle(OWNER), sealed("new"), {authorization(PASSWORD, false)}));
		(void)give(alice, start_session(false));
		chip.faults = {};
		EXPECT_EQ(unseal(bob, other), "b") << std::hex << last_code;
		std::string const again = unseal(alice, secret);
		EXPECT_TRUE(again == "a" || last_code == NO_SUCH_HANDLE) << std::hex << last_code;
		EXPECT_EQ(remains(), u32_at(give(alice, list_handles(0x0300'0000)), 15));
		forget(alice);
		forget(bob);
		EXPECT_EQ(remains(), 0u);
	}
}

TEST_F(Tpm_resource_manager, clears_up_after_a_user_that_is_cancelled_or_vanishes_at_any_wait)
{
	uint32_t const other = seal(bob, "b");
	for (bool vanish : {false, true})
		for (unsigned n = 1; n < 400; n += n < 40 ? 1 : 7) {
			SCOPED_TRACE(n);
			uint32_t const secret = seal(alice, "a");
			uint32_t const with = session(alice);
			Event gate;
			wire.timing.gate = &gate;
			Message const bytes =
				command(CC_UNSEAL, handle(secret), {}, {authorization(with, true)});
			Message response(MESSAGE_MAX_BYTES);
			unsigned waits = 0;
			{
				Task<size_t, Error> task = alice.execute(job, bytes, response);
				Attempt<size_t, Error> result{Error::OUT_OF_FRAMES};
				Root root = run_into(job, task, result);
				ASSERT_TRUE(root.start(job).ok());
				while (executor.run_ready(), !root.done()) {
					if (++waits == n && vanish) break;
					if (waits == n) job.cancel();
					if (gate.awaited())
						gate.raise();
					else if (!executor.ready())
						clock.time_us = std::max(clock.time_us, executor.next_deadline_us());
					executor.expire();
				}
			}
			wire.timing.gate = nullptr;
			job.reset();
			ASSERT_EQ(unseal(bob, other), "b") << std::hex << last_code;
			std::string const again = unseal(alice, secret);
			ASSERT_TRUE(again == "a" || last_code == NO_SUCH_HANDLE) << std::hex << last_code;
			forget(alice);
			ASSERT_EQ(remains(), 0u);
			if (waits < n) break;
		}
}

TEST_F(Tpm_resource_manager, bears_a_reset_of_the_tpm)
{
	uint32_t const secret = seal(alice, "a");
	uint32_t const with = session(alice);
	ASSERT_TRUE(swtpm.init().ok()) << swtpm.message();
	chip.reset();
	EXPECT_EQ(unseal(alice, secret), "");
	Message const startup = command(0x144, {}, Builder{}.u16(0).bytes);
	EXPECT_EQ(code_of(give(bob, startup)), 0u);
	EXPECT_EQ(unseal(alice, secret), "");
	EXPECT_EQ(last_code, NO_SUCH_HANDLE);
	uint32_t const fresh = seal(alice, "fresh");
	EXPECT_EQ(unseal(alice, fresh, with), "");
	EXPECT_EQ(unseal(alice, fresh, session(alice)), "fresh");
	forget(alice);
	EXPECT_EQ(remains(), 0u);
}

TEST_F(Tpm_resource_manager, passes_commands_on_before_the_startup)
{
	ASSERT_TRUE(swtpm.init().ok());
	chip.reset();
	Message const random = command(GET_RANDOM, {}, Builder{}.u16(8).bytes);
	EXPECT_EQ(code_of(give(alice, random)), 0x100u);
	EXPECT_EQ(code_of(give(alice, command(0x144, {}, Builder{}.u16(0).bytes))), 0u);
	EXPECT_EQ(code_of(give(alice, random)), 0u);
}

TEST_F(Tpm_resource_manager, takes_over_a_tpm_that_others_left_full)
{
	for (unsigned i = 0; i < 3; ++i) {
		EXPECT_NE(seal(tis, "left"), 0u);
		EXPECT_NE(session(tis), 0u);
	}
	uint32_t const secret = seal(alice, "mine");
	EXPECT_EQ(unseal(alice, secret, session(alice)), "mine");
	forget(alice);
	EXPECT_EQ(remains(), 0u);
}

} // namespace
} // namespace bulkhead::tpm
