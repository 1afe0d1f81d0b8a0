//! A browser that does what a person's would: follows redirects and keeps cookies. It believes the provider's certificate and
//! nobody else's.

use std::collections::BTreeMap;

use reqwest::{Client, RequestBuilder, Response, Url, header, redirect::Policy};
use stayhand_transport::provider;

/// Redirects of one signing in are some five.
const REDIRECTS_MAX: usize = 20;

pub(crate) struct Browser {
    client: Client,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    pub(crate) fn new(authority: &str) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        let der = stayhand_transport::from_pem(authority).unwrap();
        roots.add(der.into()).unwrap();
        let tls = rustls::ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = Client::builder()
            .use_preconfigured_tls(tls)
            .redirect(Policy::none())
            .build();
        Self {
            client: client.unwrap(),
            cookies: BTreeMap::new(),
        }
    }

    /// Opens an address and goes where it is sent, up to this machine's program: where that is, with what came of it.
    pub(crate) async fn code(&mut self, uri: &str) -> Url {
        let mut at: Url = uri.parse().unwrap();
        for _ in 0..REDIRECTS_MAX {
            if at.scheme() == "http" {
                return at;
            }
            let answer = self.get(at.clone()).await;
            let next = answer.headers().get(header::LOCATION);
            let next = next.unwrap_or_else(|| panic!("{at} does not send on: {answer:?}"));
            at = at.join(next.to_str().unwrap()).unwrap();
        }
        panic!("it goes round in circles")
    }

    /// The same to the end. Returns the status of the last page.
    pub(crate) async fn open(&mut self, uri: &str) -> u16 {
        let back = self.code(uri).await;
        self.get(back).await.status().as_u16()
    }

    /// Enters the code of a device where it is to be entered, and confirms it, or says that it is none of ours. Returns the last page.
    pub(crate) async fn enter(&mut self, uri: &str, user_code: &str, answer: &str) -> String {
        let uri: Url = uri.parse().unwrap();
        let asked = self.get(uri.clone()).await.text().await.unwrap();
        let field = "name=\"xsrf\" value=\"";
        let (_, token) = asked.split_once(field).unwrap_or_else(|| panic!("{asked}"));
        let (token, _) = token.split_once('"').unwrap();
        let form = format!("xsrf={token}&user_code={user_code}");
        let confirm = self.post(&uri, form.clone()).await;
        let confirm = confirm.text().await.unwrap();
        assert!(confirm.contains(user_code), "{confirm}");
        let mut at = uri.clone();
        let mut page = self.post(&uri, format!("{form}&{answer}=yes")).await;
        for _ in 0..REDIRECTS_MAX {
            let Some(next) = page.headers().get(header::LOCATION) else {
                return page.text().await.unwrap();
            };
            at = at.join(next.to_str().unwrap()).unwrap();
            page = self.get(at.clone()).await;
        }
        panic!("it goes round in circles")
    }

    pub(crate) async fn get(&mut self, at: Url) -> Response {
        self.send(self.client.get(at)).await
    }

    async fn post(&mut self, at: &Url, form: String) -> Response {
        let kind = "application/x-www-form-urlencoded";
        let request = self.client.post(at.clone()).body(form);
        self.send(request.header(header::CONTENT_TYPE, kind)).await
    }

    async fn send(&mut self, request: RequestBuilder) -> Response {
        let cookies = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        let cookies = cookies.collect::<Vec<_>>().join("; ");
        let request = request.header(header::COOKIE, cookies);
        let answer = request.send().await.unwrap();
        for set in answer.headers().get_all(header::SET_COOKIE) {
            let (name, rest) = set.to_str().unwrap().split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        answer
    }
}
