import { busy, failure, h } from './dom-9aRx3nlE.js';
import { finish, login, ownPath, providers } from './session-c8Vzdgtz.js';

// loginPage stands in the place of any page that needs a login; afterwards the
// user is back there.
export async function loginPage({ notice, back = location.pathname } = {}) {
  const { providers: offered } = await providers();
  const error = h('div', { class: 'slot' });
  const buttons = offered.map(({ name, label }) => {
    const button = h('button', {
      type: 'button', class: 'provider', 'data-provider': name,
      click: () => busy(button, async () => {
        error.replaceChildren();
        try {
          await login(name, ownPath(back === '/' ? undefined : back));
        } catch (problem) {
          error.replaceChildren(failure(problem));
        }
      }),
    }, h('span', { class: 'monogram', 'aria-hidden': 'true' }, label[0]),
    `Continue with ${label}`);
    return button;
  });
  return {
    title: 'Log in',
    content: h('div', { class: 'welcome' },
      h('h1', {}, 'Come in.'),
      h('p', { class: 'lead' }, 'Your threads are yours alone. Log in with an account you have; no password is kept here.'),
      notice, h('div', { class: 'providers' }, buttons), error,
      h('p', { class: 'fine' }, 'Curious first? See ', h('a', { href: '/stack' }, 'how the server decides'), ' about a request.')),
  };
}

// callbackPage is where a login ends.
export async function callbackPage({ go }) {
  try {
    await go(await finish(), { replace: true }); // back does not lead here again
    return undefined;
  } catch (problem) {
    return loginPage({ notice: failure(problem), back: '/threads' });
  }
}
