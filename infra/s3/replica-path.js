// Lambda@Edge, origin request: a page's path as its key, for the bucket that stands in for the balancer.
"use strict";
exports.handler = async (event) => {
  const request = event.Records[0].cf.request;
  const page = /^\/lp\/([A-Za-z0-9._-]+)$/.exec(request.uri);
  if (page && request.origin && request.origin.s3) {
    request.uri = `/pages/${page[1]}/index.html`;
  }
  return request;
};
